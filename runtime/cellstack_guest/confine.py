"""What a process inside a container does to itself: join namespaces, and give up every right.

Shared by init and by the cell's process. Each function raises OSError with the name of the system call.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# <linux/sched.h>
NAMESPACE_FLAGS = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}

# <linux/prctl.h>, <linux/seccomp.h>, <linux/capability.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_FILTER_BYTES = 8  # struct sock_filter

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_CapHeader = ctypes.c_uint32 * 2
_CapData = ctypes.c_uint32 * 6


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
        return int(file.read())


_LAST_CAPABILITY = _last_capability()  # read while there is a /proc: every container is made by a fork of this process


class _SockFprog(ctypes.Structure):
    """`struct sock_fprog` of <linux/filter.h>."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _prctl(what: str, option: int, *args: int) -> None:
    _check(_libc.prctl(option, *(*args, 0, 0, 0, 0)[:4]), f"prctl({what})")


def setns(fd: int, flags: int) -> None:
    """Join the namespaces in `flags` of the process behind the pidfd, or the namespace file, `fd`."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), f"setns({flags:#x})")


def set_dumpable(on: bool) -> None:
    """Say whether this process' /proc files are its user's (and whether it may be traced)."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, int(on))


def set_pdeathsig(number: int) -> None:
    """Get signal `number` when the parent dies."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, number)


def set_name(name: str) -> None:
    """Set the name that `ps` shows; 15 bytes of it count."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _prctl("PR_SET_NAME", _PR_SET_NAME, ctypes.addressof(buffer))


def close_fds(keep: Iterable[int]) -> None:
    """Close every descriptor that is not in `keep`."""
    low = 0
    for fd in sorted(set(keep)):
        if fd > low:
            os.closerange(low, fd)
        low = fd + 1
    # os.closerange uses close_range(2) where the kernel has it.
    os.closerange(low, 2**31 - 1)


def setrlimit(name: str, limit: int) -> None:
    """Limit a resource ("DATA": bytes of private memory on top of what is mapped now; "NPROC": processes)."""
    if name == "DATA":
        limit += _data_bytes()
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def _data_bytes() -> int:
    with open("/proc/self/status", "rb") as file:  # text of another encoding than UTF-8 would need an import
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmData:"))


def lock_down(program: bytes, keep: frozenset[int] = frozenset()) -> None:
    """Give up every capability but those in `keep`, the way to gain any, and the system calls `program` refuses.

    `program` is a seccomp filter, an array of struct sock_filter; empty loads none. The bounding set goes first
    (it takes CAP_SETPCAP), the filter last (it may refuse what came before).
    """
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in keep:
            _prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, capability)
    _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(keep)
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)
    if program:
        fprog = _SockFprog(len(program) // _FILTER_BYTES, program)
        _prctl("PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(fprog))


def _set_capabilities(keep: frozenset[int]) -> None:
    """Set effective and permitted to `keep`. Inheritable stays empty: uid 0 gets the bounding set on exec."""
    bits = sum(1 << capability for capability in keep)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = _CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    data = _CapData(low, low, 0, high, high, 0)
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(data)), "capset")
