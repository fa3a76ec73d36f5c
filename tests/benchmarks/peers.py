"""Other ways to run `true` in a container: bubblewrap, runc, docker. All use one root of a static busybox."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class MissingPeerError(Exception):
    """This peer cannot run here; the message names the package or the reason."""


def program(name: str, package: str) -> str:
    """Return the path of a program; MissingPeerError names the package that has it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise MissingPeerError(f"{name} is not installed (package {package})")
    return path


def busybox_root(folder: Path) -> Path:
    """Make a root file system of nothing but a static busybox."""
    busybox = program("busybox", "busybox-static")
    if b"ld-linux" in Path(busybox).read_bytes()[:4096]:
        raise MissingPeerError(f"{busybox} is not static (package busybox-static)")
    root = folder / "root"
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("true", "sh"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def run(command: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, with variables added; RuntimeError with what it said when it fails."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environ or {})},
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")


def bwrap(root: Path) -> list[str]:
    """Return the command that runs `true` under bubblewrap with every namespace new."""
    path = program("bwrap", "bubblewrap")
    return [path, "--unshare-all", "--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]


def runc(root: Path, folder: Path) -> list[str]:
    """Return the command that runs `true` under runc, rootless for a normal user."""
    path = program("runc", "runc")
    bundle = folder / "bundle"
    bundle.mkdir()
    run([path, "spec", "--bundle", bundle, *([] if os.geteuid() == 0 else ["--rootless"])])
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": ["/bin/true"], "terminal": False}
    config["root"]["path"] = str(root)
    (bundle / "config.json").write_text(json.dumps(config))
    return [path, "--root", str(folder / "runc"), "run", "--bundle", str(bundle), f"cellstack-bench-{os.getpid()}"]


@contextlib.contextmanager
def docker(root: Path, folder: Path) -> Iterator[list[str]]:
    """Run a dockerd of our own for the length of the block; give the command that runs `true` in its container."""
    daemon, client = program("dockerd", "docker.io"), program("docker", "docker.io")
    if os.geteuid() != 0:
        raise MissingPeerError("dockerd needs root")
    cgroups = set(Path("/sys/fs/cgroup").glob("*/docker")) | set(Path("/sys/fs/cgroup").glob("docker"))
    socket = f"unix://{folder}/docker.sock"
    command = [daemon, "--host", socket, "--iptables=false", "--ip6tables=false", "--bridge=none"]
    command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/docker.pid"]
    with open(folder / "dockerd.log", "wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait_for_daemon([client, "--host", socket, "version"], running, folder / "dockerd.log")
        archive = shutil.make_archive(str(folder / "busybox"), "tar", root)
        run([client, "--host", socket, "import", archive, "busybox:bench"])
        yield [client, "--host", socket, "run", "--rm", "--network", "none", "busybox:bench", "/bin/true"]
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=30)
        for made in set(Path("/sys/fs/cgroup").glob("*/docker")) | set(Path("/sys/fs/cgroup").glob("docker")):
            if made not in cgroups:
                made.rmdir()


def _wait_for_daemon(question: list[str], running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running.poll() is None:
        if subprocess.run(question, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)
    last = (log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
    raise MissingPeerError(f"dockerd does not start here: {last}")
