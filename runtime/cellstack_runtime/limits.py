"""What a container may use."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORKS = ("none", "bridge", "host")
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
MINIMUM_MEMORY = 6 * 2**20  # as docker


@dataclass(frozen=True, slots=True, init=False)
class Limits:
    """Limits of one container; None means unlimited.

    memory: bytes, swap included, given as a number or as "256m". cpus: cores. pids: processes and threads.
    timeout: seconds of wall time. network: "none" (loopback only), "bridge" or "host".
    """

    memory: int | None
    cpus: float | None
    pids: int | None
    timeout: float | None
    network: str

    def __init__(
        self,
        memory: int | str | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        timeout: float | None = None,
        network: str = "none",
    ) -> None:
        values = {
            "memory": _memory("memory", memory) if isinstance(memory, str) else memory,
            "cpus": cpus,
            "pids": pids,
            "timeout": timeout,
            "network": _network("network", network),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def updated(self, options: Mapping[str, str]) -> Limits:
        """Return these limits with `options` ("memory": "512m", …) applied.

        Raises UsageError that names the option, what was given and what is accepted.
        """
        unknown = [name for name in options if name not in _PARSERS]
        if unknown:
            raise UsageError(f"unknown limit {unknown[0]!r}", hint=f"Limits are: {', '.join(_PARSERS)}")
        parsed: dict[str, Any] = {name: _PARSERS[name](name, text) for name, text in options.items()}
        return replace(self, **parsed)

    def as_json(self) -> dict[str, Any]:
        """Return the limits as the cell's record shows them."""
        return {
            "memory": self.memory,
            "cpus": self.cpus,
            "pids": self.pids,
            "timeout": self.timeout,
            "network": self.network,
        }


def parse_size(text: str, *, what: str = "size") -> int:
    """Return the bytes of "512m", "1.5g", "1073741824"; units b, k, m, g, t as in docker (powers of 1024)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise UsageError(f"{what} {text!r} is not a size", hint="Write a number and a unit, as in 512m or 2g")
    return int(float(match[1]) * _UNITS[match[2]])


def format_size(size: float) -> str:
    """Return `size` bytes for a reader: "512 MiB", "1.5 GiB"."""
    value = float(size)
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(value) >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if value >= 100 or value == int(value) else f"{value:.1f} {units[0]}"


def _none(text: str) -> bool:
    return text.strip().lower() in ("none", "unlimited", "max")


def _memory(name: str, text: str) -> int | None:
    if _none(text):
        return None
    size = parse_size(text, what=name)
    if size < MINIMUM_MEMORY:
        raise UsageError(f"{name}={text} is below the minimum of {format_size(MINIMUM_MEMORY)}")
    return size


def parse_number(name: str, text: str, example: str) -> float | None:
    """Return a positive number, or None for "none"; UsageError with an example for anything else."""
    if _none(text):
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name}={text!r} is not a positive number", hint=f"For example {example}")
    return value


def _pids(name: str, text: str) -> int | None:
    value = parse_number(name, text, "pids=256")
    if value is not None and value != int(value):
        raise UsageError(f"{name}={text!r} is not a whole number", hint="For example pids=256")
    return None if value is None else int(value)


def _network(name: str, text: str) -> str:
    if text not in NETWORKS:
        raise UsageError(f"{name}={text!r} is not a network", hint=f"Networks are: {', '.join(NETWORKS)}")
    return text


_PARSERS: dict[str, Any] = {
    "memory": _memory,
    "cpus": lambda name, text: parse_number(name, text, "cpus=1.5"),
    "pids": _pids,
    "timeout": lambda name, text: parse_number(name, text, "timeout=60"),
    "network": _network,
}
