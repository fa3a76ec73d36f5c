"""What this host allows, tried and not guessed, each answer with its reason: `cellstack doctor`.

Every try runs in a forked child that ends with it: its namespaces and mounts end with it too.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cellstack_guest import confine
from cellstack_runtime import abi, bare, cgroups, hardening, idmap, syscalls
from cellstack_runtime.broker.rootfs import Overlay
from cellstack_runtime.config import Config
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.limits import format_size
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

OK, WARNING, MISSING = "ok", "warning", "missing"
NAMESPACES = {
    "user": abi.CLONE_NEWUSER,
    "mnt": abi.CLONE_NEWNS,
    "pid": abi.CLONE_NEWPID,
    "net": abi.CLONE_NEWNET,
    "ipc": abi.CLONE_NEWIPC,
    "uts": abi.CLONE_NEWUTS,
    "cgroup": abi.CLONE_NEWCGROUP,
    "time": abi.CLONE_NEWTIME,
}
# Settings that forbid user namespaces, the value that does, and what undoes it.
_FORBID = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give Python an AppArmor profile with `userns,`",
    ),
)
_HELPERS = ("pasta", "slirp4netns")


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. status: "ok", "warning" (something less, said in `reason`) or "missing" (nothing runs without)."""

    name: str
    status: str
    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All answers; `ok` says whether containers can run."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing that is needed is missing."""
        return all(check.status != MISSING for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return the report for `--format json`."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def probe() -> Report:
    """Try everything that containers need on this host."""
    base = idmap.base_id()
    checks = [
        Check("kernel", OK, f"Linux {platform.release()} on {platform.machine()}"),
        _mode(base),
        _user_namespaces(),
        *(_namespace(name, flag) for name, flag in NAMESPACES.items() if name != "user"),
        _subordinate_ids(),
        *_mounts(base),
        *_cgroups(),
        _memory_limit(),
        _seccomp(),
        _network_helpers(),
        *_grants(),
    ]
    return Report(tuple(checks))


def _mode(base: int | None) -> Check:
    if base is not None:
        top = base + idmap.ID_COUNT - 1
        return Check("mode", OK, f"root: a container's ids 0 to {idmap.ID_COUNT - 1} are {base} to {top} on this host")
    return Check("mode", OK, f"rootless: a container's root is user {os.geteuid()} on this host, its only id")


# -- namespaces ------------------------------------------------------------------------------------------------


def _in_child(attempt: Callable[[], object]) -> str | None:
    """Run `attempt` in a child; return None when it went well, else what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            attempt()
            code = 0
        except (OSError, CellstackError) as error:
            os.write(write, (getattr(error, "strerror", None) or str(error)).encode()[:4000])
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as file:
        said = file.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return None
    return said or f"the attempt ended with {status}"


def user_namespaces() -> bool:
    """Return whether this user can have user namespaces; tried in a process that has only one thread."""
    program = "from cellstack_runtime import abi, syscalls; syscalls.unshare(abi.CLONE_NEWUSER)"
    return subprocess.run(bare.command(program), capture_output=True, check=False).returncode == 0


def _user_namespaces() -> Check:
    failed = _in_child(idmap.enter_user_namespace)
    if failed is None:
        return Check("namespace user", OK, "can be made")
    for path, value, cure in _FORBID:
        try:
            with open(path, encoding="ascii") as file:
                if file.read().strip() == value:
                    return Check("namespace user", MISSING, f"{failed}: {path} is {value}", f"As root: {cure}")
        except OSError:
            continue
    return Check(
        "namespace user",
        MISSING,
        failed,
        "In a container: its seccomp profile or AppArmor must allow unshare(CLONE_NEWUSER); "
        "docker's flag is --security-opt seccomp=unconfined",
    )


def _namespace(name: str, flag: int) -> Check:
    def attempt() -> None:
        idmap.enter_user_namespace()
        syscalls.unshare(flag)

    failed = _in_child(attempt)
    if failed is None:
        return Check(f"namespace {name}", OK, "can be made")
    hint = "Time namespaces came with Linux 5.6 (CONFIG_TIME_NS)" if name == "time" else None
    return Check(f"namespace {name}", MISSING, failed, hint or "See the line of the user namespace")


def _subordinate_ids() -> Check:
    uid = os.geteuid()
    ranges = {path: idmap.subordinate_ranges(path, uid) for path in ("/etc/subuid", "/etc/subgid")}
    missing = [path for path, found in ranges.items() if not found]
    helpers = [name for name in ("newuidmap", "newgidmap") if shutil.which(name) is None]
    if not missing and not helpers:
        first = ranges["/etc/subuid"][0]
        return Check("subuid ranges", OK, f"{first.size} ids from {first.start}; cells need none of them")
    why = [
        *(f"{path} has no line for user {uid}" for path in missing),
        *(f"{name} is not installed" for name in helpers),
    ]
    return Check("subuid ranges", OK, f"none ({'; '.join(why)}); cells need none, they run with a single id")


# -- mounts ----------------------------------------------------------------------------------------------------


def _mounts(base: int | None) -> list[Check]:
    """Try overlays and id mapping on the file system that the store is on."""
    try:
        with Store.open().building() as folder:
            checks = [_overlay(base, folder), _idmapped(base, folder)]
            free = shutil.disk_usage(folder).free
    except CellstackError as error:
        with tempfile.TemporaryDirectory(prefix="cellstack-") as folder:
            checks = [_overlay(base, folder), _idmapped(base, folder)]
        return [*checks, Check("store", MISSING, error.message, error.hint)]
    store = os.path.dirname(os.path.dirname(folder))
    return [*checks, Check("store", OK, f"{store}, {format_size(free)} free")]


def _overlay(base: int | None, folder: str) -> Check:
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{folder}/{name}")
    user = base is None
    name = "overlay (userxattr)" if user else "overlay (root)"

    def attempt() -> None:
        if user:
            idmap.enter_user_namespace()
        syscalls.unshare(abi.CLONE_NEWNS)
        syscalls.mount("none", "/", None, abi.MS_REC | abi.MS_PRIVATE)
        Overlay((f"{folder}/lower",), f"{folder}/upper", f"{folder}/work").mount(f"{folder}/merged", user=user)
        with open(f"{folder}/merged/file", "w", encoding="ascii") as file:
            file.write("written")

    failed = _in_child(attempt)
    if failed is None:
        return Check(name, OK, "layers can be stacked and written to")
    hint = "Linux 5.11 is the first to let a normal user mount overlays" if user else "modprobe overlay"
    return Check(name, MISSING, failed, f"{hint}; the store must not be on an overlay itself (set CELLSTACK_HOME)")


def _idmapped(base: int | None, folder: str) -> Check:
    if base is None:
        return Check("idmapped mounts", OK, "not needed: the store belongs to the user that containers run as")
    os.mkdir(f"{folder}/mapped")

    def attempt() -> None:
        gate_read, gate_write = os.pipe()
        pid, pidfd = syscalls.clone3(abi.CLONE_NEWUSER, exit_signal=17)
        if pid == 0:
            os.close(gate_write)
            os.read(gate_read, 1)  # until this end has its descriptor
            os._exit(0)
        try:
            idmap.write_maps(f"/proc/{pid}", *[f"0 {base} {idmap.ID_COUNT}"] * 2)
            namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
            syscalls.mount_setattr(syscalls.open_tree(folder), abi.MOUNT_ATTR_IDMAP, userns_fd=namespace)
        finally:
            os.close(gate_write)
            os.close(pidfd)
            os.waitpid(pid, 0)

    failed = _in_child(attempt)
    if failed is None:
        return Check("idmapped mounts", OK, "the image's files appear with the container's ids")
    return Check(
        "idmapped mounts",
        WARNING,
        f"{failed}: files of the image that not everybody may read cannot be read in containers",
        "Linux 5.12 has them for ext4 and xfs, 5.15 for btrfs; set CELLSTACK_HOME to a directory on one of these",
    )


# -- limits ----------------------------------------------------------------------------------------------------


def _cgroups() -> list[Check]:
    support = cgroups.detect()
    found = support.controllers
    version = "v2 (unified)" if support.version == 2 else "v1 (hybrid where a unified hierarchy is mounted too)"
    any_path = next((entry.path for entry in found.values() if entry.path), None)
    checks = [Check("cgroup version", OK if any_path else WARNING, version if any_path else "no cgroup is mounted")]
    for entry in found.values():
        status = OK if entry.writable else WARNING
        checks.append(
            Check(f"cgroup {entry.name}", status, entry.reason, None if entry.writable else _delegation(support))
        )
    return checks


def _delegation(support: cgroups.Support) -> str:
    if support.version == 2:
        return "`systemd-run --user --scope -p Delegate=yes cellstack lab` gives a group that you may write"
    return "As root: make a group in this hierarchy, chown it to the user, and start the command in it"


def _memory_limit() -> Check:
    if cgroups.detect().writable("memory"):
        return Check("memory limit", OK, "held by the cgroup (enforced_by: cgroup)")
    return Check(
        "memory limit",
        WARNING,
        "held by rlimits on each process and a supervisor that samples the container's sum (enforced_by: rlimit)",
        "A writable memory controller holds it exactly",
    )


def _seccomp() -> Check:
    try:
        with tempfile.TemporaryDirectory(prefix="cellstack-") as folder:
            program = hardening.seccomp_program(folder)
    except CellstackError as error:
        return Check("seccomp", MISSING, error.message, error.hint)

    def attempt() -> None:
        idmap.enter_user_namespace()
        confine.lock_down(program)

    failed = _in_child(attempt)
    if failed is None:
        return Check("seccomp", OK, f"{len(program) // 8} instructions by {ctypes.util.find_library('seccomp')}")
    return Check("seccomp", MISSING, failed, "The kernel needs CONFIG_SECCOMP_FILTER")


def _network_helpers() -> Check:
    found = [name for name in _HELPERS if shutil.which(name)]
    if found:
        return Check("network helpers", OK, f"{', '.join(found)}; cells run with network none")
    return Check("network helpers", OK, f"none of {', '.join(_HELPERS)} is installed; network none needs none")


def _grants() -> list[Check]:
    """Say what the person has granted to notebooks, so that nothing is granted and forgotten."""
    try:
        granted = Config(Store.open().home).granted()
    except CellstackError as error:
        return [Check("grants", WARNING, error.message, error.hint)]
    return [Check("grants", OK, f"{path}: {', '.join(what)}") for path, what in sorted(granted.items()) if what]


_MARKS = {OK: "ok  ", WARNING: "warn", MISSING: "MISS"}


def render(report: Report) -> str:
    """Return the report for a person: a line per answer, what to do indented below it."""
    width = max(len(check.name) for check in report.checks)
    lines = []
    for check in report.checks:
        lines.append(f"{_MARKS[check.status]}  {check.name.ljust(width)}  {check.reason}")
        if check.hint and check.status != OK:
            lines.append(f"      {' ' * width}  -> {check.hint}")
    verdict = "Cells can run here." if report.ok else "Cells cannot run here: see the lines marked MISS."
    return "\n".join([*lines, "", verdict])
