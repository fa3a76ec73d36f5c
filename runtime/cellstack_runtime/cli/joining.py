"""`cellstack exec`: a program beside what runs in a container, with this terminal's or this process' streams.

The container gets pipes or a terminal of its own, and what comes and goes is copied: with a descriptor of this host,
any process of the container could open anew what is behind it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
import tty
from typing import TYPE_CHECKING

import click

from cellstack_runtime import live
from cellstack_runtime.cli.containers import RUN_FAILED, parse_env
from cellstack_runtime.errors import CellstackError, UsageError
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 1 << 16
STDIN, STDOUT, STDERR = 0, 1, 2
_SIZE = struct.Struct("4H")  # struct winsize: rows, columns, and two that nobody uses


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--interactive", "-i", is_flag=True, help="Pass standard input on.")
@click.option("--tty", "-t", "terminal", is_flag=True, help="Give it a terminal of its own.")
@click.option("--env", "-e", multiple=True, metavar="NAME[=VALUE]", help="Environment variable, as docker.")
@click.option("--workdir", "-w", help="Folder to start in.")
@click.argument("container")
@click.argument("args", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG]...")
@click.pass_context
def exec_command(
    context: click.Context,
    interactive: bool,
    terminal: bool,
    env: tuple[str, ...],
    workdir: str | None,
    container: str,
    args: tuple[str, ...],
) -> None:
    """Run a command in a container that runs; leaves with the command's exit code.

    It has the namespaces, the limits and the rights of what runs there, and ends with the container.
    """
    if interactive and terminal and not os.isatty(STDIN):
        raise UsageError("-t with -i needs a terminal, and standard input is none", hint="Leave -t out")
    try:
        found = live.find_container(Store.open().home, container)
        code = join(found, args, interactive=interactive, terminal=terminal, env=parse_env(env), cwd=workdir)
    except CellstackError as error:
        click.echo(f"cellstack: {error}", err=True)
        code = RUN_FAILED
    context.exit(code)


def join(
    container: live.Container,
    args: tuple[str, ...],
    *,
    interactive: bool,
    terminal: bool,
    env: Mapping[str, str],
    cwd: str | None,
) -> int:
    """Run a program in a container with this process' streams; return its exit code."""
    if terminal:
        with live.join(container, args, size=_size(), env=env, cwd=cwd) as joined:
            assert joined.terminal is not None
            with _following(joined.terminal, raw=interactive):
                if interactive:
                    _pass_on(joined.terminal, close=False)
                return _copy(joined, {joined.terminal: STDOUT})
    with contextlib.ExitStack() as files:
        pipes = [os.pipe() for _ in range(3)]
        (given, ours), (out, given_out), (err, given_err) = pipes
        files.callback(os.close, out)
        files.callback(os.close, err)
        theirs = [given, given_out, given_err]
        try:
            joined = files.enter_context(live.join(container, args, streams=theirs, env=env, cwd=cwd))
        except BaseException:
            os.close(ours)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        if interactive:
            _pass_on(ours, close=True)
        else:
            os.close(ours)
        return _copy(joined, {out: STDOUT, err: STDERR})


def _pass_on(target: int, *, close: bool) -> None:
    """Copy standard input to `target` in a thread: it may wait for the program, which may wait for its output to go."""

    def copy() -> None:
        with contextlib.suppress(OSError):  # it has ended, or our terminal has gone
            while data := os.read(STDIN, CHUNK):
                _write(target, data)
        if close:
            os.close(target)

    threading.Thread(target=copy, daemon=True).start()


def _copy(joined: live.Joined, targets: dict[int, int]) -> int:
    """Copy output until the program has ended and what it has written is out; return its exit code."""
    poll = select.poll()
    for fd in (joined.fileno(), *targets):
        poll.register(fd, select.POLLIN)
    code = None
    while code is None or targets:
        ready = [fd for fd, _ in poll.poll(None if code is None else 0)]
        if not ready:  # a process that it has left behind holds them open
            break
        for fd in ready:
            if fd == joined.fileno():
                poll.unregister(fd)
                code = joined.code()
                continue
            try:
                data = os.read(fd, CHUNK)
            except OSError:  # EIO: no process has the terminal any more
                data = b""
            if data:
                _write(targets[fd], data)
            else:
                poll.unregister(fd)
                del targets[fd]
    assert code is not None
    return code


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _size() -> tuple[int, int]:
    """Return the rows and columns of our terminal; 0 where there is none, which is a terminal's own default."""
    if not os.isatty(STDOUT):
        return 0, 0
    rows, columns, _, _ = _SIZE.unpack(fcntl.ioctl(STDOUT, termios.TIOCGWINSZ, bytes(_SIZE.size)))
    return rows, columns


@contextlib.contextmanager
def _following(terminal: int, *, raw: bool) -> Iterator[None]:
    """Give `terminal` the size that ours gets, and every key that is pressed; ours is put back as it was."""
    before = signal.signal(
        signal.SIGWINCH, lambda *_: fcntl.ioctl(terminal, termios.TIOCSWINSZ, _SIZE.pack(*_size(), 0, 0))
    )
    settings = termios.tcgetattr(STDIN) if raw else None
    if raw:
        tty.setraw(STDIN, termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        yield
    finally:
        if settings is not None:
            termios.tcsetattr(STDIN, termios.TCSADRAIN, settings)
        signal.signal(signal.SIGWINCH, before)


exec = exec_command  # noqa: A001  the verb, as which it is looked up: docker's name


def main() -> None:
    """Run the command alone, for who starts it by its module."""
    exec_command(prog_name="cellstack exec")


if __name__ == "__main__":
    main()
