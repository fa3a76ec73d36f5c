"""PID 1 of a container: completes the root, reaps, and starts what `cellstack run` and `exec` were asked for.

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
# What Python and the broker have changed: a shell that begins with SIGHUP ignored would outlive its terminal.
NOT_DEFAULT = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


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
    terminals = _complete_root(message, fds[0])
    if cell_gate is not None:
        with contextlib.suppress(BrokenPipeError):  # it is dead, which is told by who reaps it
            os.write(cell_gate, b"x")
    channels.close_all(fds)
    channel.send({"rooted": True})
    _serve(channel, terminals)


def _loopback_up() -> None:
    request = struct.pack("16sH14x", b"lo", abi.IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, abi.SIOCSIFFLAGS, request)


def _complete_root(message: dict[str, Any], root_fd: int) -> int:
    """Attach the root that the broker has made, add what belongs to this container's namespaces, and enter it.

    Returns a descriptor of its /dev/pts, which is that one whatever the container does to its mounts.
    """
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
    terminals = os.open(f"{NEW_ROOT}/dev/pts", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.mount("mqueue", f"{NEW_ROOT}/dev/mqueue", "mqueue", NOSUID_NODEV_NOEXEC)
    for path in message["readonly"]:
        _read_only(NEW_ROOT + path)
    for path in message["masked"]:
        _mask(NEW_ROOT + path)
    os.chdir(NEW_ROOT)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".")
    os.chdir("/")
    return terminals


def _read_only(path: str) -> None:
    if os.path.exists(path):
        syscalls.mount(path, path, None, abi.MS_BIND | abi.MS_REC)
        syscalls.mount(path, path, None, abi.MS_BIND | abi.MS_REMOUNT | abi.MS_RDONLY | NOSUID_NODEV_NOEXEC)


def _mask(path: str) -> None:
    if os.path.isdir(path):
        syscalls.mount(EMPTY, path, None, abi.MS_BIND)
    elif os.path.exists(path):
        syscalls.mount(f"{NEW_ROOT}/dev/null", path, None, abi.MS_BIND)


def _serve(channel: channels.Channel, terminals: int) -> None:
    """Reap until the broker is gone; start programs when told, and report their ends.

    That of `cellstack run` is the main one; those of `exec` have numbers, which are in what is said of them.
    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    programs: dict[int, dict[str, int]] = {}  # by pid; {"exec": number} or, of the main one, nothing
    while True:
        for fd, _ in poll.poll():
            if fd == channel.fileno():
                message, fds = channel.receive()
                if "signal" in message:
                    for pid in (pid for pid, which in programs.items() if not which):
                        os.kill(pid, message["signal"])
                elif "exec" in message:
                    _join(channel, message, fds, terminals, programs)
                else:
                    pid = _start(message, fds)
                    programs[pid] = {}
                    channel.send({"started": pid})
                channels.close_all(fds)
            else:
                os.read(wake_read, 4096)
        _reap(channel, programs)


def _reap(channel: channels.Channel, programs: dict[int, dict[str, int]]) -> None:
    """Reap all that have ended, and say so of `programs`."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG | abi.WALL)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in programs:
            used = {"cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}
            channel.send({"exited": status, **used, **programs.pop(pid)})


def _join(
    channel: channels.Channel,
    message: dict[str, Any],
    fds: list[int],
    terminals: int,
    programs: dict[int, dict[str, int]],
) -> None:
    """Start a program beside what runs already. The container may have no room for it, which is an answer."""
    which = {"exec": message["exec"]}
    opened: list[int] = []  # a terminal: its master and its slave
    try:
        if message["size"] is not None:
            opened.append(os.open("ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=terminals))
            fcntl.ioctl(opened[0], abi.TIOCSPTLCK, struct.pack("i", 0))
            fcntl.ioctl(opened[0], abi.TIOCSWINSZ, struct.pack("4H", *message["size"], 0, 0))  # struct winsize
            opened.append(fcntl.ioctl(opened[0], abi.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
            fds = [opened[1]] * 3
        pid = _start(message, fds)
    except OSError as error:
        channel.send({**which, "error": error.strerror})
    else:
        programs[pid] = which
        channel.send({**which, "started": pid}, opened[:1])
    finally:
        channels.close_all(opened)


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
        for number in NOT_DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, fd in enumerate(fds[:3]):
            os.dup2(fd, target)
        confine.close_fds([0, 1, 2])
        if "exec" not in message:
            os.makedirs(message["cwd"], exist_ok=True)
        elif message["size"] is not None:
            fcntl.ioctl(0, abi.TIOCSCTTY, 0)
        for name, limit in message["rlimits"].items():
            confine.setrlimit(name, limit)
        env = message["env"]
        # A cell that runs beside it has its rights in a moment, and must not read the memory of a fork of the broker.
        confine.set_dumpable(False)
        confine.lock_down(program, frozenset(message["capabilities"]))
        try:
            os.chdir(message["cwd"])
        except OSError as error:
            os.write(2, f"cellstack: {message['cwd']}: {error.strerror}\n".encode())
            os._exit(NOT_EXECUTABLE)
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
