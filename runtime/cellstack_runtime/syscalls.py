"""One thin function per system call; each raises OSError. The runtime's only user of ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from cellstack_runtime import abi

# PyDLL keeps the interpreter lock during a call: clone3's child must come back into Python holding it.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _fail(call: str, detail: str = "") -> OSError:
    number = ctypes.get_errno()
    text = os.strerror(number)
    if number == errno.ENOSYS:
        text = f"Linux {os.uname().release} does not have it, or seccomp hides it"
    return OSError(number, f"{call}: {text}", detail or None)


def _syscall(
    call: str, number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | object, detail: str = ""
) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise _fail(call, detail)
    return result


def clone3(flags: int, *, exit_signal: int = 0) -> tuple[int, int]:
    """Fork with `flags`; return (pid, pidfd) in the parent and (0, -1) in the child.

    Only for a process with a single thread: glibc's fork handlers do not run.
    """
    pidfd = ctypes.c_int(-1)
    args = abi.CloneArgs(flags=flags | abi.CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=exit_signal)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc.syscall(ctypes.c_long(abi.NR_CLONE3), ctypes.byref(args), ctypes.c_size_t(ctypes.sizeof(args)))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    error = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        ctypes.set_errno(error)
        raise _fail("clone3", f"flags {flags:#x}")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones."""
    if _libc.unshare(ctypes.c_int(flags)) < 0:
        raise _fail("unshare", f"flags {flags:#x}")


def mount(source: str, target: str, fstype: str | None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if fstype is None else fstype.encode(),
        ctypes.c_ulong(flags),
        None if data is None else os.fsencode(data),
    )
    if result < 0:
        raise _fail(f"mount {fstype or 'flags'}", target)


def umount2(target: str, flags: int = abi.MNT_DETACH) -> None:
    """umount2(2)."""
    if _libc.umount2(os.fsencode(target), ctypes.c_int(flags)) < 0:
        raise _fail("umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); ("." , ".") stacks the old root on the new one, to be unmounted as "."."""
    _syscall("pivot_root", abi.NR_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old), detail=new_root)


def open_tree(path: str, *, dirfd: int = abi.AT_FDCWD, recursive: bool = False) -> int:
    """Return the descriptor of a detached copy of the mount at `path`."""
    flags = abi.OPEN_TREE_CLONE | abi.OPEN_TREE_CLOEXEC | (abi.AT_RECURSIVE if recursive else 0)
    return _syscall("open_tree", abi.NR_OPEN_TREE, dirfd, os.fsencode(path), flags, detail=path)


def move_mount(fd: int, target: str) -> None:
    """Attach the detached mount `fd` at `target`."""
    _syscall(
        "move_mount",
        abi.NR_MOVE_MOUNT,
        fd,
        b"",
        abi.AT_FDCWD,
        os.fsencode(target),
        abi.MOVE_MOUNT_F_EMPTY_PATH,
        detail=target,
    )


def fsopen(fstype: str) -> int:
    """Return the descriptor of a new filesystem context."""
    return _syscall("fsopen", abi.NR_FSOPEN, fstype.encode(), abi.FSOPEN_CLOEXEC, detail=fstype)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """Set the option `key` of a filesystem context; values are at most 255 bytes."""
    _syscall(
        "fsconfig", abi.NR_FSCONFIG, fd, abi.FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0,
        detail=f"{key}={value}",
    )  # fmt: skip


def fsconfig_flag(fd: int, key: str) -> None:
    """Set the flag `key` of a filesystem context."""
    _syscall("fsconfig", abi.NR_FSCONFIG, fd, abi.FSCONFIG_SET_FLAG, key.encode(), None, 0, detail=key)


def fsconfig_create(fd: int) -> None:
    """Create the filesystem that the context describes."""
    _syscall("fsconfig", abi.NR_FSCONFIG, fd, abi.FSCONFIG_CMD_CREATE, None, None, 0, detail="create")


def fsmount(fd: int, attributes: int = 0) -> int:
    """Return the descriptor of a detached mount of the context's filesystem."""
    return _syscall("fsmount", abi.NR_FSMOUNT, fd, abi.FSMOUNT_CLOEXEC, attributes)


def inotify_modified(path: str) -> int:
    """Return a descriptor that becomes readable whenever the file at `path` is modified (inotify(7), IN_MODIFY)."""
    fd = inotify_init1()
    try:
        inotify_add_watch(fd, path, abi.IN_MODIFY)
    except BaseException:
        os.close(fd)
        raise
    return fd


def inotify_init1() -> int:
    """Return a descriptor to add watches to; reading it never blocks."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise _fail("inotify_init1")
    return fd


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch `path` for the events in `mask`; return the watch's number."""
    watch: int = _libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(mask))
    if watch < 0:
        raise _fail("inotify_add_watch", path)
    return watch


def inotify_read(fd: int) -> list[tuple[int, int, str]]:
    """Return the next events of an inotify descriptor: (watch, mask, name in the directory)."""
    data = os.read(fd, 1 << 16)
    events = []
    start = 0
    while start < len(data):
        watch, mask, _, size = struct.unpack_from("iIII", data, start)  # struct inotify_event of inotify(7)
        start += 16 + size
        events.append((watch, mask, os.fsdecode(data[start - size : start].rstrip(b"\0"))))
    return events


def set_title(title: str) -> None:
    """Overwrite this process' command line, which every process that sees it may read, with `title`.

    A container's init is a fork that has executed nothing; its command line would tell of the host's folders.
    """
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5), counted behind the name
    room = end - start
    if start and room > 0:
        ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)


def trim_heap() -> None:
    """Give back what the C library holds of freed memory, where it can be asked to (glibc)."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def mount_setattr(fd: int, attributes: int, *, userns_fd: int = 0, recursive: bool = False) -> None:
    """Set attributes of the mount `fd`, among them its id mapping (that of `userns_fd`)."""
    attr = abi.MountAttr(attr_set=attributes, userns_fd=userns_fd)
    _syscall(
        "mount_setattr",
        abi.NR_MOUNT_SETATTR,
        fd,
        b"",
        abi.AT_EMPTY_PATH | (abi.AT_RECURSIVE if recursive else 0),
        ctypes.byref(attr),
        ctypes.sizeof(attr),
    )


def pid_of(pidfd: int) -> int:
    """Return the id of the process behind `pidfd` as the mounted /proc numbers it; -1 when it is gone."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
