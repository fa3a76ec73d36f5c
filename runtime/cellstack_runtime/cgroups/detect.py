"""Which control groups this process can write, and why not."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cellstack_runtime.cgroups.base import CONTROLLERS, Controller, Group, Manager, Support
from cellstack_runtime.cgroups.v1 import GroupV1, ManagerV1
from cellstack_runtime.cgroups.v2 import GroupV2, ManagerV2, NoGroup, enable_controllers

if TYPE_CHECKING:
    from collections.abc import Mapping


def detect(root: str = "/sys/fs/cgroup", proc: str = "/proc") -> Support:
    """Return what can be done here. cgroup v2 counts where it has controllers, else v1."""
    own = _own_groups(f"{proc}/self/cgroup")
    if os.path.exists(f"{root}/cgroup.controllers"):
        return Support(2, _detect_v2(root, own.get("", "/")))
    return Support(1, {name: _detect_v1(root, own, name) for name in CONTROLLERS})


def _own_groups(path: str) -> dict[str, str]:
    """Return {controller: path of this process' group}; "" is version 2's."""
    groups: dict[str, str] = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        for line in file:
            _, names, group = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                groups[name] = group
    return groups


def _detect_v1(root: str, own: dict[str, str], name: str) -> Controller:
    kernel_name = "blkio" if name == "io" else name
    base = f"{root}/{kernel_name}"
    if not os.path.isdir(base) or kernel_name not in own:
        return Controller(name, None, writable=False, reason=f"no cgroup v1 hierarchy for {kernel_name} is mounted")
    for group in (own[kernel_name], "/"):  # inside a container the path may be one of the host's
        path = f"{base}{group}".rstrip("/")
        if os.path.isdir(path):
            break
    if not os.access(path, os.W_OK):
        return Controller(name, path, writable=False, reason=f"{path} belongs to somebody else")
    return Controller(name, path, writable=True, reason=f"{path} can be written")


def _detect_v2(root: str, own: str) -> dict[str, Controller]:
    path = f"{root}{own}".rstrip("/")
    if not os.path.isdir(path):
        path = root
    reason = ""
    if not os.access(path, os.W_OK):
        reason = f"{path} is not delegated to this user; `systemd-run --user --scope -p Delegate=yes` gives one that is"
    elif path != root and not _is_empty(path):
        # A group with processes in it cannot give controllers to groups below: as root, use one at the top.
        if os.geteuid() == 0 and os.access(root, os.W_OK):
            path = root
        else:
            reason = f"{path} holds processes, so no group below it can have controllers"
    available = set(_words(f"{path}/cgroup.controllers"))
    if not reason:
        available = enable_controllers(path, available)
    found = {}
    for name in CONTROLLERS:
        kernel_name = "cpu" if name == "cpuacct" else name
        if name == "freezer":
            found[name] = Controller(name, path, writable=not reason, reason=reason or "part of every cgroup v2")
        elif reason:
            found[name] = Controller(name, path, writable=False, reason=reason)
        elif kernel_name in available:
            found[name] = Controller(name, path, writable=True, reason=f"{path} can be written")
        else:
            found[name] = Controller(name, path, writable=False, reason=f"{path} does not have the {name} controller")
    return found


def _words(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []


def _is_empty(path: str) -> bool:
    return not _words(f"{path}/cgroup.procs")


def pressure_of(support: Support, proc: str = "/proc") -> str | None:
    """Return whose pressure (PSI) this kernel counts: each "container"'s, which takes version 2, or the "machine"'s.

    None when it counts nobody's.
    """
    if not os.path.exists(f"{proc}/pressure/memory"):
        return None
    return "container" if support.version == 2 and support.writable("freezer") else "machine"


def open_group(paths: Mapping[str, str]) -> Group:
    """Return a group that another process has made, by its `paths`, to look at."""
    if "" in paths:
        return GroupV2(paths[""], frozenset())
    return GroupV1(paths) if paths else NoGroup()


def open_manager(support: Support, scope: str) -> Manager:
    """Return the manager for this host; its groups carry `scope` in their path."""
    return ManagerV2(support, scope) if support.version == 2 else ManagerV1(support, scope)
