"""What can be done to containers that run, and what they do: stop, kill, pause, unpause, wait, top and stats."""

from __future__ import annotations

import signal
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cellstack_runtime import live
from cellstack_runtime.cli.output import as_json, format_option, table
from cellstack_runtime.errors import EXIT_FAILED, CellstackError, UsageError
from cellstack_runtime.limits import format_size
from cellstack_runtime.metrics import Sample, sample
from cellstack_runtime.namespaces import processes_of
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERVAL = 1.0  # seconds between two looks
CLEAR = "\x1b[H\x1b[J"  # cursor to the top left, and what is below erased
_names = click.argument("names", nargs=-1, required=True, metavar="CONTAINER...")


def _for_each(names: Sequence[str], act: Callable[[live.Container], object]) -> None:
    """Do something to each container and print what docker prints: its name, or what `act` returns.

    One that fails does not keep the others from it; then the exit code is 1.
    """
    home = Store.open().home
    failed = False
    for name in names:
        try:
            said = act(live.find_container(home, name))
        except CellstackError as error:
            click.echo(f"cellstack: {error}", err=True)
            failed = True
        else:
            click.echo(name if said is None else said)
    if failed:
        click.get_current_context().exit(EXIT_FAILED)


@click.command()
@click.option("--time", "-t", "seconds", type=click.FloatRange(min=0), default=live.STOP_SECONDS, show_default=True)
@_names
def stop(names: tuple[str, ...], seconds: float) -> None:
    """Ask containers to end (SIGTERM), and kill those that have not after some seconds."""
    _for_each(names, lambda container: live.stop(container, seconds))


@click.command()
@click.option("--signal", "-s", "name", default="KILL", show_default=True, help="Signal for the main process.")
@_names
def kill(names: tuple[str, ...], name: str) -> None:
    """Kill containers, or send their main processes a signal."""
    number = _signal(name)
    _for_each(names, lambda container: live.kill(container, number))


def _signal(name: str) -> int:
    """Return the number of "KILL", "SIGKILL" or "9"."""
    try:
        return (
            signal.Signals(int(name)) if name.isdecimal() else signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
        )
    except (KeyError, ValueError):
        raise UsageError(f"{name!r} is not a signal", hint="For example KILL, TERM or 15") from None


@click.command()
@_names
def pause(names: tuple[str, ...]) -> None:
    """Stop containers where they are; their time limits wait too."""
    _for_each(names, live.pause)


@click.command()
@_names
def unpause(names: tuple[str, ...]) -> None:
    """Let paused containers go on."""
    _for_each(names, live.unpause)


@click.command()
@_names
def wait(names: tuple[str, ...]) -> None:
    """Wait until containers have ended, and print their exit codes."""
    _for_each(names, live.wait)


@click.command()
@click.argument("name", metavar="CONTAINER")
@format_option
def top(name: str, style: str) -> None:
    """List the processes of a container: their numbers on this host and inside, memory, processor time."""
    found = processes_of(live.find_container(Store.open().home, name))
    if style == "json":
        as_json([asdict(process) for process in found])
        return
    table(
        ("PID", "PPID", "INSIDE", "MEMORY", "TIME", "COMMAND"),
        [
            (str(p.pid), str(p.ppid), str(p.pid_inside), format_size(p.memory), f"{p.cpu_seconds:.2f} s", p.command)
            for p in found
        ],
    )


@click.command()
@click.option("--no-stream", is_flag=True, help="Show it once.")
@click.argument("names", nargs=-1, metavar="[CONTAINER]...")
@format_option
def stats(names: tuple[str, ...], no_stream: bool, style: str) -> None:
    """Show what containers use: all that run, or the named ones. On a terminal it is shown anew every second."""
    home = Store.open().home
    before = _samples(home, names)
    while True:
        time.sleep(INTERVAL)
        now = _samples(home, names)
        if style == "json":
            as_json([one.as_json() for one in now.values()])
        else:
            if not no_stream:
                click.echo(CLEAR, nl=False)
            _show(before, now)
        if no_stream or style == "json":
            return
        before = now


def _samples(home: str, names: Sequence[str]) -> dict[str, Sample]:
    if names:
        containers = [live.find_container(home, name) for name in names]
    else:
        containers = [one for one in live.live_containers(home) if one.status != "waiting"]
    taken = [sample(container) for container in containers]
    return {one.id: one for one in taken if one is not None}


def _show(before: dict[str, Sample], now: dict[str, Sample]) -> None:
    rows = []
    for one in now.values():
        last = before.get(one.id, one)
        elapsed = one.time - last.time
        percent = 100 * (one.cpu_seconds - last.cpu_seconds) / elapsed if elapsed > 0 else 0.0
        limit = one.memory_limit
        rows.append(
            (
                one.id,
                f"{percent:.2f}%",
                f"{format_size(one.memory)} / {format_size(limit) if limit else 'unlimited'}",
                f"{100 * one.memory / limit:.2f}%" if limit else "",
                f"{format_size(one.io[0])} / {format_size(one.io[1])}" if one.io else "",
                str(one.pids),
            )
        )
    table(("CONTAINER ID", "CPU %", "MEM USAGE / LIMIT", "MEM %", "BLOCK I/O", "PIDS"), rows)
