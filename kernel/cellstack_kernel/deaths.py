"""What killed a cell, in one sentence: by which limit, that nothing is lost, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellstack_runtime.limits import format_size

if TYPE_CHECKING:
    from cellstack_runtime.containers import Finished
    from cellstack_runtime.limits import Limits

UNCHANGED = "Files and variables are as they were before it"


def cause(
    limits: Limits, finished: Finished, unchanged: str = UNCHANGED, notebooks: Limits | None = None
) -> tuple[str, str]:
    """Return the error's name and its sentence for a cell that was not there to answer.

    unchanged: what of that the person needs to know about files and variables. notebooks: the limits of the notebook,
    where the cell could have some of its own.
    """
    end, name, hint = finished.exit, "CellKilled", ""
    match end.reason:
        case "oom":
            limit = limits.memory or 0
            what = f"cell was killed at its memory limit of {format_size(limit)}"
            what += f" (peak {format_size(finished.memory_peak_bytes)})"
            hint = _raise(f"memory={_double(limit)}", limits, notebooks)
        case "timeout":
            seconds = limits.timeout or 0
            name = "CellTimeout"
            what = f"cell was killed at its time limit of {seconds:g} s"
            hint = _raise(f"timeout={seconds * 2:g}", limits, notebooks)
        case "pids":
            what = f"cell died after it had reached its limit of {limits.pids} processes"
            hint = _raise(f"pids={(limits.pids or 0) * 2}", limits, notebooks)
        case "interrupt":
            what = "cell was killed by the second interrupt"
        case "stuck":
            what = "a task of a callback let nothing else run when a cell came, and was ended with its container"
            hint = ". With `await asyncio.sleep(0)` in its loop it lets others run"
        case "shutdown":
            what = "cell was ended with its kernel"
        case "stop" | "kill":
            what = f"cell was {'stopped' if end.reason == 'stop' else 'killed'} from outside of its notebook"
        case "protocol":
            what = "cell sent something that is no output and was killed"
        case "zygote":
            what = "cell was ended with the process that it was forked from, which died"
        case _ if end.signal is not None:
            what = f"cell was ended by {end.signal}"
        case _ if end.code is not None:
            what = f"cell ended its own process with exit code {end.code}"
        case reason:
            what = f"cell was killed ({reason})"
    return name, f"{what}. {unchanged}{hint}"


def magic_of(name: str, limits: Limits, notebooks: Limits | None) -> str:
    """Return the magic that sets the limit of a cell that is called `name`; notebooks: as `cause` has it."""
    is_own = notebooks is not None and getattr(limits, name) != getattr(notebooks, name)
    return "%%container" if is_own else "%limits"


def _raise(option: str, limits: Limits, notebooks: Limits | None) -> str:
    magic = magic_of(option.split("=", maxsplit=1)[0], limits, notebooks)
    return f". Raise it with {magic} {option}"


def _double(limit: int) -> str:
    """Return twice the limit the way it is written: 512 MiB gives "1g"."""
    size = limit * 2
    for unit, factor in (("g", 2**30), ("m", 2**20)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
