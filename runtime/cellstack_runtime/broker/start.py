"""The first process of a broker: it enters its namespaces, forks the spawner, and only then imports the rest.

The spawner and every init are forks of what is in memory here, and cost as much as there is of it: this module and
what it imports are kept small (`python -I -S -B -X importtime` shows them).
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_guest import confine
from cellstack_runtime import abi, idmap, syscalls
from cellstack_runtime.broker import spawner
from cellstack_runtime.broker.channel import Channel, close_all, pair

if TYPE_CHECKING:
    from collections.abc import Callable


def main(fd: int) -> NoReturn:
    """Enter the broker's namespaces and serve the client at descriptor `fd`.

    The process that was started stays outside as the parent of PID 1, so that its starter can wait for it.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    client = Channel(socket.socket(fileno=fd))
    settings, fds = client.receive()
    close_all(fds)
    try:
        if idmap.base_id() is None:
            idmap.enter_user_namespace()
    except OSError as error:
        client.send({"error": f"this host does not let it have user namespaces ({error})", "errno": None})
        sys.exit(1)
    try:
        syscalls.unshare(abi.CLONE_NEWNS | abi.CLONE_NEWPID)
        syscalls.mount("none", "/", None, abi.MS_REC | abi.MS_PRIVATE)
    except OSError as error:
        client.send({"error": str(error), "errno": None})
        sys.exit(1)
    pid = os.fork()
    if pid:
        client.close()
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    confine.set_pdeathsig(signal.SIGKILL)
    confine.set_name("cellstack")
    os.chdir("/")
    code = 1
    try:
        _serve(client, settings)
        code = 0
    except BaseException:  # noqa: BLE001  the last frame of this process; its stderr is the client's log
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(client: Channel, settings: dict[str, Any]) -> None:
    base = settings["base_id"]
    channel, theirs = pair()
    try:
        pidfd = spawner.start(theirs, f"0 {base or 0} {1 if base is None else idmap.ID_COUNT}")
    except OSError as error:
        client.send({"error": str(error), "errno": error.errno})
        return
    theirs.close()
    serve: Callable[..., None] = importlib.import_module("cellstack_runtime.broker.server").serve
    serve(client, settings, channel, pidfd)
