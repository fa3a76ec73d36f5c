"""User and group ids: whether this process is root on its host, and which ids a normal user may map besides its own."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

from cellstack_runtime import abi, syscalls
from cellstack_runtime.kernelfs import write

# A range far above the accounts of a host and outside of what systemd hands out (see its UIDS-GIDS page).
BASE_ID = 0x70000000
ID_COUNT = 65536


class IdRange(NamedTuple):
    """`size` ids from `start` on that a user may map into its namespaces; a line of /etc/subuid (subuid(5))."""

    start: int
    size: int


def base_id() -> int | None:
    """Return the host id of a container's root when this process may choose it; None when it is a normal user.

    Root of a user namespace that lacks the range, or root without CAP_SYS_ADMIN (in a container), is a normal user.
    """
    if os.geteuid() != 0 or not _has_capability(abi.CAP_SYS_ADMIN):
        return None
    return BASE_ID if all(_maps_range(f"/proc/self/{name}") for name in ("uid_map", "gid_map")) else None


def enter_user_namespace() -> None:
    """Move this process into a user namespace of its own, in which it is root and the only id."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(abi.CLONE_NEWUSER)
    write_maps("/proc/self", f"0 {uid} 1", f"0 {gid} 1")


def write_maps(proc: str, uid_map: str, gid_map: str) -> None:
    """Map the ids of the process whose directory is `proc`; single-id maps of a normal user need no setgroups."""
    if gid_map.split()[2] == "1":
        write(f"{proc}/setgroups", "deny")
    write(f"{proc}/uid_map", uid_map)
    write(f"{proc}/gid_map", gid_map)


def _has_capability(number: int) -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(effective >> number & 1)


def _maps_range(path: str) -> bool:
    with open(path, encoding="ascii") as file:
        lines = [[int(field) for field in line.split()] for line in file]
    return any(inside <= BASE_ID and inside + count >= BASE_ID + ID_COUNT for inside, _, count in lines)


def subordinate_ranges(path: str, uid: int) -> list[IdRange]:
    """Return the ranges that /etc/subuid or /etc/subgid at `path` gives to user `uid`; damaged lines do not count."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    ranges = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                owner, _, rest = line.strip().partition(":")
                start, _, count = rest.partition(":")
                if owner in (name, str(uid)) and start.isdecimal() and count.isdecimal():
                    ranges.append(IdRange(int(start), int(count)))
    except OSError:
        return []
    return ranges
