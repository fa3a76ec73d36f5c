"""What front ends tell the objects at the other end of a comm, as widgets are."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_guest.protocol import Message

_numbers = itertools.count(1)


@dataclass(eq=False, slots=True)
class Letter:
    """One comm message. taken: whether a cell that waited for it, and did not die, has had it.

    parent: the request that it came with, as libraries in the container see it.
    """

    msg_type: str
    content: dict[str, Any]
    buffers: Sequence[bytes] = ()
    parent: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    taken: bool = False
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def comm(self) -> str:
        """The comm's id."""
        return str(self.content.get("comm_id"))

    @property
    def comms(self) -> list[str] | None:
        """The comms whose objects it takes to react to it; None for all: who opens a comm asks for the others."""
        return None if self.msg_type == "comm_open" else [self.comm]

    @property
    def target(self) -> str | None:
        """What a comm is opened for, if this opens one."""
        return str(self.content.get("target_name")) if self.msg_type == "comm_open" else None

    @property
    def frame(self) -> Message:
        """The frame that brings it to a container; the number comes back when it was taken."""
        parts = {"content": self.content, "metadata": self.metadata, "number": self.number}
        return {"type": "comm", "msg_type": self.msg_type, **parts}
