"""PID 1 of a container: completes the root, reaps, and starts what `cellstack run` was asked for.

It is a fork of the spawner, our own code with nothing of the image in it. The cell's process is not its child by
birth (the zygote forks it into this pid namespace), but orphans are, and killing init kills everything. It keeps
its capabilities (within the container's user namespace): so nothing in the container, which has fewer, may trace it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import warnings  # noqa: F401  os.execvpe imports it, which finds no files in a container any more
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_guest import confine
from cellstack_runtime import abi, syscalls
from cellstack_runtime.broker import channel as channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_runtime.broker.numbers import Numbers

NEW_ROOT = "/new"
EMPTY = "/empty"  # a read-only tmpfs, made with the spawner's root
NOSUID_NODEV_NOEXEC = abi.MS_NOSUID | abi.MS_NODEV | abi.MS_NOEXEC
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes of docker and shells


def main(channel_fd: int, cgroup_fds: Sequence[int], gate: int, numbers: Numbers) -> None:
    """Run as init; returns when the broker is gone or the container is over."""
    signal.set_wakeup_fd(-1)
    os.read(gate, 1)  # the id maps are written
    confine.close_fds([0, 1, 2, channel_fd, *cgroup_fds])
    for fd in cgroup_fds:
        os.write(fd, b"0")  # the process itself: a write of its pid by somebody else waits for a grace period
    syscalls.unshare(abi.CLONE_NEWCGROUP)  # now that it is where its view begins
    inodes = numbers.settle()
    confine.close_fds([0, 1, 2, channel_fd])
    confine.set_name("cellstack-init")
    channel = channels.Channel(socket.socket(fileno=channel_fd))
    _loopback_up()
    channel.send({"ready": inodes})
    message, fds = channel.receive()
    cell_gate = fds[1] if fds[1:] else None  # to the cell's process, where there is one
    if cell_gate is not None:
        os.read(cell_gate, 1)  # It has joined: one that joins while the root is changed would be left in the old one.
    _complete_root(message, fds[0])
    if cell_gate is not None:
        with contextlib.suppress(BrokenPipeError):  # it is dead, which is told by who reaps it
            os.write(cell_gate, b"x")
    channels.close_all(fds)
    channel.send({"rooted": True})
    _serve(channel)


def _loopback_up() -> None:
    request = struct.pack("16sH14x", b"lo", abi.IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, abi.SIOCSIFFLAGS, request)


def _complete_root(message: dict[str, Any], root_fd: int) -> None:
    """Attach the root that the broker has made, add what belongs to this container's namespaces, and enter it."""
    socket.sethostname(message["hostname"])
    syscalls.move_mount(root_fd, NEW_ROOT)
    # /proc and /sys while the spawner's are still in sight: without a visible one the kernel refuses new ones.
    syscalls.mount("proc", f"{NEW_ROOT}/proc", "proc", NOSUID_NODEV_NOEXEC)
    syscalls.mount("sysfs", f"{NEW_ROOT}/sys", "sysfs", NOSUID_NODEV_NOEXEC | abi.MS_RDONLY)
    size = message["shm_bytes"]
    options = "mode=1777" + (f",size={size}" if size else "")
    syscalls.mount("tmpfs", f"{NEW_ROOT}/dev/shm", "tmpfs", NOSUID_NODEV_NOEXEC, options)  # noqa: S108
    syscalls.mount(
        "devpts", f"{NEW_ROOT}/dev/pts", "devpts", abi.MS_NOSUID | abi.MS_NOEXEC, "newinstance,ptmxmode=0666"
    )
    syscalls.mount("mqueue", f"{NEW_ROOT}/dev/mqueue", "mqueue", NOSUID_NODEV_NOEXEC)
    for path in message["readonly"]:
        _read_only(NEW_ROOT + path)
    for path in message["masked"]:
        _mask(NEW_ROOT + path)
    os.chdir(NEW_ROOT)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".")
    os.chdir("/")


def _read_only(path: str) -> None:
    if os.path.exists(path):
        syscalls.mount(path, path, None, abi.MS_BIND | abi.MS_REC)
        syscalls.mount(path, path, None, abi.MS_BIND | abi.MS_REMOUNT | abi.MS_RDONLY | NOSUID_NODEV_NOEXEC)


def _mask(path: str) -> None:
    if os.path.isdir(path):
        syscalls.mount(EMPTY, path, None, abi.MS_BIND)
    elif os.path.exists(path):
        syscalls.mount(f"{NEW_ROOT}/dev/null", path, None, abi.MS_BIND)


def _serve(channel: channels.Channel) -> None:
    """Reap until the broker is gone; start the program of `cellstack run` when told, and report its end."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    main_pid = None
    while True:
        for fd, _ in poll.poll():
            if fd == channel.fileno():
                message, fds = channel.receive()
                if "signal" in message:
                    if main_pid is not None:
                        os.kill(main_pid, message["signal"])
                    continue
                main_pid = _start(message, fds)
                channels.close_all(fds)
                channel.send({"started": main_pid})
            else:
                os.read(wake_read, 4096)
        main_pid = _reap(channel, main_pid)


def _reap(channel: channels.Channel, main_pid: int | None) -> int | None:
    """Reap all that have ended; return `main_pid` for as long as it has not."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG | abi.WALL)
        except ChildProcessError:
            return main_pid
        if pid == 0:
            return main_pid
        if pid == main_pid:
            main_pid = None
            channel.send({"exited": status, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024})


def _start(message: dict[str, Any], fds: list[int]) -> int:
    """Fork and execute; descriptors become 0, 1 and 2."""
    program = base64.b64decode(message["seccomp"])
    pid = os.fork()
    if pid == 0:
        _execute(message, fds, program)
    return pid


def _execute(message: dict[str, Any], fds: list[int], program: bytes) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, fd in enumerate(fds[:3]):
            os.dup2(fd, target)
        confine.close_fds([0, 1, 2])
        os.makedirs(message["cwd"], exist_ok=True)
        os.chdir(message["cwd"])
        for name, limit in message["rlimits"].items():
            confine.setrlimit(name, limit)
        env = message["env"]
        confine.lock_down(program, frozenset(message["capabilities"]))
        try:
            os.execvpe(message["args"][0], message["args"], env)
        except FileNotFoundError:
            code = NOT_FOUND
            text = f"{message['args'][0]}: no such file in the container's PATH"
        except OSError as error:
            code = NOT_EXECUTABLE
            text = f"{message['args'][0]}: {error.strerror}"
        os.write(2, f"cellstack: {text}\n".encode())
    except BaseException as error:  # noqa: BLE001  the last frame of this process
        os.write(2, f"cellstack: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)
