"""The zygote: a warm, clean process of one image, from which every cell's process is forked.

It is rooted in the image and has no rights on the host; it imports and never computes. The broker asks for a cell
with the descriptors the cell needs; the zygote forks it into the pid namespace of the container's init, and the
child joins the other namespaces, locks itself down, and only then waits for code.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_guest import baseline, confine, interrupts, patches, prefault, twins
from cellstack_guest import cell as cells

if TYPE_CHECKING:
    from collections.abc import Sequence

JOINED = ("user", "mnt", "net", "ipc", "uts", "cgroup", "time")
STATE = "/run/cellstack/state"
OUT = "/run/cellstack/out"
ROW_SECONDS = 0.05  # in a row of cells the next one comes sooner
MAX_MESSAGE = 1 << 20
MAX_DESCRIPTORS = 64
MAX_NAMES = 5000


def main(channel_fd: int) -> None:
    """Serve the broker at descriptor `channel_fd` until it goes away."""
    channel = socket.socket(fileno=channel_fd)
    settings, _ = _receive(channel)
    program = base64.b64decode(settings["seccomp"])
    # One thread while this process imports: the threads of a BLAS would have to survive the fork.
    cell = cells.warm()
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    interrupts.hold()  # in the cells, too, which are forks: one may come before theirs has run a line
    while True:  # each round in a process of its own, the successor of the one before
        if settings["preload"]:
            cell.take_in((each["names"], each["environ"]) for each in settings["preload"])
        channel = _serve(channel, cell, program, own_pids, learn=bool(settings["preload"]))
        settings, _ = _receive(channel)


def _serve(channel: socket.socket, cell: cells.Cell, program: bytes, own_pids: int, *, learn: bool) -> socket.socket:
    """Fork cells, and successors: in one of them this returns its channel. learn: others serve until this is ready."""
    gc.collect()
    twins.pin()
    gc.freeze()  # a collection in a cell must not touch, and thereby copy, everything imported
    written = _learn(cell) if learn else None
    _send(channel, {"ready": [name for name in sys.modules if isinstance(name, str)][:MAX_NAMES]})
    children: dict[int, int] = {}
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd in children:
                poll.unregister(fd)
                _bury(channel, children.pop(fd))
                os.close(fd)
                continue
            try:
                message, fds = _receive(channel)
            except EOFError:
                os._exit(0)
            if "succeed" in message:
                pid = os.fork()
                if pid == 0:
                    return _become_successor(fds, keep=[cell.scratch, own_pids])
            else:
                if written is None:
                    written = _learn(cell)
                confine.setns(fds[0], confine.NAMESPACE_FLAGS["pid"])
                pid = os.fork()
                if pid == 0:
                    _become_cell(cell, program, written, message, fds)
                confine.setns(own_pids, confine.NAMESPACE_FLAGS["pid"])
            pidfd = os.pidfd_open(pid)
            _send(channel, {"pid": pid}, [pidfd])
            children[pidfd] = pid
            poll.register(pidfd, select.POLLIN)
            for used in fds:
                os.close(used)


def _learn(cell: cells.Cell) -> prefault.Ranges:
    """Give the cell what modules hold; return the memory that every cell writes to."""
    if cell.baseline is None or cell.baseline.is_long:
        cell.baseline = baseline.of(twins.Twin())
    else:
        cell.baseline.grow()
    return prefault.written_by(lambda: cell.rehearse(("1+1",)))


def _become_successor(fds: Sequence[int], *, keep: Sequence[int]) -> socket.socket:
    """Go on as the process that forks cells: descriptors are its channel, where it writes to, what to join cgroups."""
    channel, output, *joins = fds
    for fd in joins:
        os.write(fd, b"0")
    os.dup2(output, 1)
    os.dup2(output, 2)
    confine.close_fds([0, 1, 2, channel, *keep])
    return socket.socket(fileno=channel)


def _receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    try:
        data, fds, _, _ = socket.recv_fds(channel, MAX_MESSAGE, MAX_DESCRIPTORS)
    except ConnectionResetError:
        raise EOFError from None
    if not data:
        raise EOFError
    for fd in fds:
        os.set_inheritable(fd, False)  # recv_fds of Python 3.11 ignores MSG_CMSG_CLOEXEC
    message: dict[str, Any] = json.loads(data)
    return message, fds


def _send(channel: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    try:
        socket.send_fds(channel, [json.dumps(message).encode()], list(fds))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _bury(channel: socket.socket, pid: int) -> None:
    _, status, usage = os.wait4(pid, 0)
    _send(
        channel,
        {
            "gone": pid,
            "exited": status,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * 1024,
        },
    )


def _become_cell(
    cell: cells.Cell, program: bytes, written: prefault.Ranges, message: dict[str, Any], fds: list[int]
) -> NoReturn:
    """Join the container, give up every right, wait for its root, and serve one request."""
    code = 1
    try:
        init_pidfd, sock_fd, out, err, gate, *joins = fds
        for fd in joins:
            os.write(fd, b"0")
        flags = 0
        for name in JOINED:
            flags |= confine.NAMESPACE_FLAGS[name]
        confine.setns(init_pidfd, flags)
        os.write(gate, b"x")  # init changes the root after this, never meanwhile
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        confine.close_fds([0, 1, 2, sock_fd, gate, cell.scratch])
        for name, limit in message["rlimits"].items():
            confine.setrlimit(name, limit)
        prefault.populate(written)
        confine.lock_down(program)
        confine.set_dumpable(True)
        if not message["in_a_row"]:
            cell.rehearse(cells.REHEARSAL)
        if not os.read(gate, 1):
            os._exit(0)  # init has died before the root was there
        os.close(gate)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.chdir(patches.FOLDER)
        cell.serve(socket.socket(fileno=sock_fd), STATE, OUT, rest=ROW_SECONDS if message["in_a_row"] else 0.0)
        while message["stay"]:
            signal.pause()  # until init is killed: no cgroup counts, so the broker reads what this process has used
        code = 0
    except BaseException as error:  # noqa: BLE001  the last frame of this process
        os.write(2, f"cellstack: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)
