"""The spawner: a small process in the guest user namespace, which only clones.

It owns the user and the pid namespace that all zygotes and containers of this broker live below, so that neither
needs any right on the host. (A zygote forks into a container's pid namespace and comes back, which takes
CAP_SYS_ADMIN in the user namespace that owns its own pid namespace.) Its root is an empty tmpfs with a /proc and a
/sys, which every init starts from: few mounts to copy, nothing of the host to see, and a visible /proc and /sys,
without which the kernel refuses new ones.
"""

from __future__ import annotations

import base64
import gc
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_guest import confine
from cellstack_runtime import abi, idmap, syscalls
from cellstack_runtime.broker import init
from cellstack_runtime.broker.channel import Channel, close_all
from cellstack_runtime.broker.numbers import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable

INIT_NAMESPACES = (
    abi.CLONE_NEWUSER
    | abi.CLONE_NEWNS
    | abi.CLONE_NEWPID
    | abi.CLONE_NEWNET
    | abi.CLONE_NEWIPC
    | abi.CLONE_NEWUTS
    | abi.CLONE_NEWTIME
)
ZYGOTE_NAMESPACES = abi.CLONE_NEWNS | abi.CLONE_NEWIPC | abi.CLONE_NEWUTS
NEW_ROOT = "/new"
ANY_FOLDER = "/proc"  # of the host, to attach the new root to: there, and open to everybody, on every host
PROC_FILES = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version", "vmstat")
GUEST_CHANNEL = 3  # the zygote's end of its channel


def start(channel: Channel, id_map: str) -> int:
    """Fork the spawner; return its pidfd. Its first message holds the detached tree that becomes its root.

    `id_map` is the line of uid_map and gid_map that gives the guest user namespace its ids.
    """
    gate_read, gate_write = os.pipe()
    pid, pidfd = syscalls.clone3(
        abi.CLONE_NEWUSER | abi.CLONE_NEWNS | abi.CLONE_NEWPID | abi.CLONE_NEWNET | abi.CLONE_NEWIPC | abi.CLONE_NEWUTS,
        exit_signal=signal.SIGCHLD,
    )
    if pid == 0:
        _run(lambda: _main(channel, f"0 0 {id_map.split()[2]}", gate_read, gate_write))
    os.close(gate_read)
    idmap.write_maps(f"/proc/{syscalls.pid_of(pidfd)}", id_map, id_map)
    os.write(gate_write, b"x")
    os.close(gate_write)
    return pidfd


def _run(main: Callable[[], None]) -> NoReturn:
    """Run the main function of a forked child and leave, whatever happens, without unwinding the parent's frames."""
    code = 1
    try:
        main()
        code = 0
    except EOFError:
        code = 0
    except BaseException as error:  # noqa: BLE001  the last frame of this process
        os.write(2, f"cellstack: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _main(channel: Channel, inner_map: str, gate_read: int, gate_write: int) -> None:
    os.close(gate_write)
    os.read(gate_read, 1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps: how they ended is told by init and zygote themselves
    gc.disable()  # there are no cycles to find, only pages to copy
    confine.close_fds([0, 1, 2, channel.fileno()])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    confine.set_dumpable(True)  # a change of uid clears it, and then /proc/self belongs to nobody here
    syscalls.set_title("cellstack-init")
    _, (root_fd,) = channel.receive()
    syscalls.mount("none", "/", None, abi.MS_REC | abi.MS_PRIVATE)
    syscalls.move_mount(root_fd, ANY_FOLDER)
    os.close(root_fd)
    for name, fstype in (("proc", "proc"), ("sys", "sysfs")):
        syscalls.mount(fstype, f"{ANY_FOLDER}/{name}", fstype, init.NOSUID_NODEV_NOEXEC)
    enter(ANY_FOLDER)
    syscalls.mount("tmpfs", init.EMPTY, "tmpfs", abi.MS_RDONLY | init.NOSUID_NODEV_NOEXEC, "size=0")
    confine.set_name("cellstack-spawn")
    numbers = Numbers()
    handlers: dict[str, Callable[[Channel, dict[str, Any], list[int]], None]] = {
        "init": partial(_spawn_init, numbers, inner_map),
        "zygote": _spawn_zygote,
        "show": _show,
    }
    while True:
        message, fds = channel.receive()
        handlers[message["op"]](channel, message, fds)
        close_all(fds)


def enter(new_root: str) -> None:
    """Make the mount at `new_root` the root and let go of the old one."""
    os.chdir(new_root)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".")
    os.chdir("/")


def _spawn_init(numbers: Numbers, id_map: str, channel: Channel, message: dict[str, Any], fds: list[int]) -> None:
    """Clone an init with its ids mapped: descriptors are its channel and what to write "0" to, to join its cgroups."""
    numbers.had(message["had"])
    while True:
        numbers.make_room(len(confine.NAMESPACE_FLAGS))
        gate_read, gate_write = os.pipe()
        pid, pidfd = syscalls.clone3(INIT_NAMESPACES, exit_signal=signal.SIGCHLD)
        if pid == 0:
            _run(partial(init.main, fds[0], fds[1:], gate_read, numbers))
        os.close(gate_read)
        if not numbers.take_had(pid):
            break
        # A namespace that went in this very moment had left its number, which is now kept.
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        close_all([pidfd, gate_write])
    idmap.write_maps(f"/proc/{pid}", id_map, id_map)
    os.write(gate_write, b"x")
    os.close(gate_write)
    channel.send({"pid": pid}, [pidfd])
    os.close(pidfd)


def _spawn_zygote(channel: Channel, message: dict[str, Any], fds: list[int]) -> None:
    """Clone a process rooted in an image and execute the guest.

    Descriptors are its root, its channel, where it writes to, and what to write "0" to, to join its cgroups.
    """
    pid, pidfd = syscalls.clone3(ZYGOTE_NAMESPACES, exit_signal=signal.SIGCHLD)
    if pid == 0:
        _run(lambda: _become_zygote(message, fds[0], fds[1], fds[2], fds[3:]))
    channel.send({"pid": pid}, [pidfd])
    os.close(pidfd)


def _become_zygote(message: dict[str, Any], root_fd: int, channel: int, output: int, cgroup_fds: list[int]) -> None:
    for fd in cgroup_fds:
        os.write(fd, b"0")
    syscalls.move_mount(root_fd, NEW_ROOT)
    _own_proc(f"{NEW_ROOT}/proc")
    syscalls.mount("tmpfs", f"{NEW_ROOT}/tmp", "tmpfs", abi.MS_NOSUID | abi.MS_NODEV, "mode=1777,size=64m")  # noqa: S108
    enter(NEW_ROOT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(channel, GUEST_CHANNEL)
    os.set_inheritable(GUEST_CHANNEL, True)  # it may have been that one before
    confine.close_fds([0, 1, 2, GUEST_CHANNEL])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What setns(2) takes, which brings a cell's process into its container.
    confine.lock_down(base64.b64decode(message["seccomp"]), frozenset({abi.CAP_SYS_ADMIN}))
    os.execve(message["argv"][0], message["argv"], message["env"])


def _show(channel: Channel, _message: dict[str, Any], fds: list[int]) -> None:
    """Have the /proc of a zygote show the successor that it has forked, the process behind the pidfd, as itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _run(partial(_add_to_proc, fds[0], writing))
    os.close(writing)
    shown = bool(os.read(reading, 1))
    os.close(reading)
    channel.send({"shown": shown})


def _add_to_proc(pidfd: int, writing: int) -> None:
    """Nothing may be imported once the root is the zygote's."""
    own = str(syscalls.pid_of(pidfd))
    tree = syscalls.open_tree(f"/proc/{own}")
    confine.setns(pidfd, abi.CLONE_NEWNS)
    before = os.readlink("/proc/self")
    os.mkdir(f"/proc/{own}")
    syscalls.move_mount(tree, f"/proc/{own}")
    os.symlink(own, "/proc/self.new")
    os.rename("/proc/self.new", "/proc/self")
    syscalls.umount2(f"/proc/{before}")
    os.rmdir(f"/proc/{before}")
    os.write(writing, b"x")


def _own_proc(target: str) -> None:
    """Mount a /proc that shows this process and the machine, and no other process: they are init's and the spawner's.

    What it imports may be a package that a cell has installed, and so the code of anybody.
    """
    syscalls.mount("proc", target, "proc", init.NOSUID_NODEV_NOEXEC)
    own = os.readlink(f"{target}/self")
    trees = {
        name: syscalls.open_tree(f"{target}/{name}")
        for name in (own, *PROC_FILES)
        if os.path.exists(f"{target}/{name}")
    }
    syscalls.mount("tmpfs", target, "tmpfs", init.NOSUID_NODEV_NOEXEC, "mode=755,size=16k")
    for name, tree in trees.items():
        if name in (own, "sys"):
            os.mkdir(f"{target}/{name}")
        else:
            os.close(os.open(f"{target}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        if name != own:
            syscalls.mount_setattr(tree, abi.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(tree, f"{target}/{name}")
        os.close(tree)
    for name, path in {"self": own, "mounts": "self/mounts", "net": "self/net"}.items():
        os.symlink(path, f"{target}/{name}")
