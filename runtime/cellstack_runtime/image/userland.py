"""The small userland of the default image: a shell, small tools, the files of /etc that programs read."""

from __future__ import annotations

import os
import shutil
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellstack_runtime.image.tree import Tree

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
TOOLS = """
    sh dash bash [ base64 basename cat chgrp chmod chown cksum comm cp cut date dd df dirname du echo env
    expand expr factor false fold head id install join link ln ls md5sum mkdir mkfifo mktemp mv nice nl
    nohup nproc numfmt od paste printenv printf pwd readlink realpath rm rmdir seq sha1sum sha256sum
    sha512sum shuf sleep sort split stat stty sum sync tac tail tee test timeout touch tr true truncate
    tsort tty uname unexpand uniq unlink wc who whoami yes arch hostid groups grep egrep fgrep sed awk find
    xargs tar gzip gunzip zcat bzip2 xz unzip diff cmp patch file which tput less more clear ps top free
    kill pgrep pkill uptime vmstat hostname ip ss lsns findmnt mount umount unshare nsenter getopt setsid
    flock ldd ldconfig locale getent
""".split()
# Loaded by name at run time, or asked for by wheels that count on every Linux having them (PEP 600).
LIBRARIES = """
    libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libresolv.so.2 libanl.so.1
    libnss_files.so.2 libnss_dns.so.2 libgcc_s.so.1 libstdc++.so.6 libz.so.1 libexpat.so.1
""".split()
PLAIN_DIRECTORIES = """
    /dev/shm /etc /home /mnt /opt /proc /run /srv /sys /usr/bin /usr/lib /usr/lib64 /usr/local/bin
    /usr/local/lib /usr/sbin /usr/share /var/cache /var/lib /var/log /work
""".split()
MERGED = ("bin", "lib", "lib64", "sbin")
PASSWD = "root:x:0:0:root:/root:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"  # noqa: S105  a user has one
GROUP = "root:x:0:\ntty:x:5:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n"
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def tools() -> dict[str, str]:
    """Return name -> host path of the tools that this host has; scripts for interpreters it lacks are left out."""
    found = {}
    for name in TOOLS:
        path = shutil.which(name, path=SYSTEM_PATH) or shutil.which(name)
        if path is not None and _runs(path):
            found[name] = path
    if "sh" not in found and "bash" in found:
        found["sh"] = found["bash"]
    return found


def _runs(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(128)
    except OSError:
        return False
    if not start.startswith(b"#!"):
        return True
    interpreter = start[2:].split(None, 1)[0]
    return os.path.basename(interpreter) in (b"sh", b"bash", b"dash")


def add_directories(tree: Tree) -> None:
    """Make the directories of a merged-/usr system, with the mount points of a container."""
    for path in PLAIN_DIRECTORIES:
        tree.directory(path)
    for name in MERGED:
        tree.link(f"/{name}", f"usr/{name}")
    for path in ("/tmp", "/var/tmp"):  # noqa: S108  inside the image
        tree.directory(path, 0o1777)
    tree.directory("/root", 0o700)
    tree.link("/var/run", "/run")


def add_tools(tree: Tree) -> list[str]:
    """Put the tools into /usr/bin; return their host paths."""
    found = tools()
    for name, path in found.items():
        tree.file(path, f"/usr/bin/{name}")
    return list(found.values())


def add_settings(tree: Tree) -> None:
    """Write /etc and take time zones, the C locale and terminal descriptions along."""
    shell = next((f"/usr/bin/{name}" for name in ("bash", "sh") if tree.exists(f"/usr/bin/{name}")), "/bin/sh")
    tree.text("/etc/passwd", PASSWD.format(shell=shell))
    tree.text("/etc/group", GROUP)
    tree.text("/etc/hosts", HOSTS)
    tree.text("/etc/nsswitch.conf", NSSWITCH)
    tree.text("/etc/resolv.conf", "")
    for path in watched_settings():
        tree.file(path, path)
    if os.path.isfile("/etc/ld.so.cache"):
        # It names libraries that are not here too, which the loader passes over; `ctypes.util` reads names from it.
        tree.file("/etc/ld.so.cache", "/etc/ld.so.cache")
    if os.path.isfile("/etc/localtime"):
        zone = os.path.realpath("/etc/localtime")
        if zone.startswith("/usr/share/zoneinfo/"):
            tree.link("/etc/localtime", zone)
        else:
            tree.file(zone, "/etc/localtime")
    _mirror_share(tree)
    _add_certificates(tree)


def watched_settings() -> list[str]:
    """Return the files of /etc that are taken from the host as they are."""
    names = ("os-release", "services", "protocols", "mime.types", "inputrc")
    return [f"/etc/{name}" for name in names if os.path.isfile(f"/etc/{name}")]


def _mirror_share(tree: Tree) -> None:
    def duplicates(folder: str, name: str) -> bool:
        return folder == "/usr/share/zoneinfo" and name in ("posix", "right")

    if os.path.isdir("/usr/share/zoneinfo"):
        tree.mirror("/usr/share/zoneinfo", "/usr/share/zoneinfo", skip=duplicates)
    for name in ("C.utf8", "C.UTF-8"):
        if os.path.isdir(f"/usr/lib/locale/{name}"):
            tree.mirror(f"/usr/lib/locale/{name}", f"/usr/lib/locale/{name}")
    # Debian has the common ones in /lib, and thousands more in /usr/share where ncurses-term is installed.
    terminals = next((path for path in ("/lib/terminfo", "/usr/share/terminfo") if os.path.isdir(path)), None)
    if terminals is not None:
        tree.mirror(terminals, terminals.replace("/lib/", "/usr/lib/", 1))


def _add_certificates(tree: Tree) -> None:
    """Put the bundle of certificate authorities where the host's OpenSSL and most programs look for it."""
    paths = ssl.get_default_verify_paths()
    candidates = (BUNDLE, paths.cafile, paths.openssl_cafile, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
    bundle = next((path for path in candidates if path and os.path.isfile(path)), None)
    if bundle is None:
        return
    tree.file(bundle, BUNDLE)
    for path in {paths.openssl_cafile, bundle} - {BUNDLE}:
        if path.startswith("/") and not path.startswith(("/home/", "/root/")):
            tree.link(path, BUNDLE)
