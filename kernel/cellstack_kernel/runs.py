"""The values of cell runs: what is asked, by whom, and how it went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from cellstack_kernel.letters import Letter
    from cellstack_runtime.containers import CellContainer
    from cellstack_runtime.limits import Limits


class FrontEnd(Protocol):
    """Where a cell's outputs go and where its questions are answered."""

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output: a Jupyter message type with its content, and `metadata` and `buffers` where it has them."""

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Return the person's answer; None when there is nobody to ask."""

    async def drained(self) -> None:
        """Return once those who read the outputs have taken so many that more may come."""


class Nobody:
    """The front end of what nobody has asked for."""

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output."""

    async def ask(self, prompt: str, *, password: bool) -> str | None:  # noqa: ARG002
        """Have no answer."""
        return None

    async def drained(self) -> None:
        """Wait for nobody."""


class InterruptError(CellstackError):
    """What was going to run was interrupted before it did."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run. kind: "execute" or "shell". commit: whether the result becomes a layer. tags: the cell's.

    typed: the cell as it was typed, whose host magics are not in `code`; skipped: the lines at its top that are not.

    unread: files of /work, relative to it; the outcome of a cell that opens one is not repeatable.

    earlier: number and text of cells that the layer does not know of: host magics alone, and what was killed.

    parent: the message that asked, as libraries in the cell see it. main: whether it is one of the notebook's own
    cells, which run one after the other, and not one that a subshell runs beside them. interrupted: whether an
    interrupt has come for it, from the moment it was taken up.
    """

    code: str
    typed: str = ""
    skipped: int = 0
    kind: str = "execute"
    number: int = 0
    silent: bool = False
    store_history: bool = True
    user_expressions: dict[str, Any] = field(default_factory=dict)
    allow_stdin: bool = False
    cell_id: str | None = None
    parent: dict[str, Any] = field(default_factory=dict)
    main: bool = True
    limits: Limits | None = None
    commit: bool = True
    tags: tuple[str, ...] = ()
    cache: str = "off"  # "miss": it was looked for in the cache
    unread: tuple[str, ...] = ()
    earlier: tuple[tuple[int, str], ...] = ()
    interrupted: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell run ended: the content of the Jupyter reply, and the cell's record (CONTRACT's CELL).

    repeatable: whether the same request on the same layer may give the same, as nothing from outside came in between.
    """

    content: dict[str, Any]
    record: dict[str, Any]
    repeatable: bool = False


@dataclass(slots=True)
class Kept:
    """A container that runs several cells. first, last: the cells that have run in it, `last` as its layer's record."""

    container: CellContainer
    first: int
    last: dict[str, Any]


@dataclass(eq=False, slots=True)
class Run:
    """A cell that is being run, from the moment its layer is chosen. `container` is None until it has the code.

    error: the last one that it has shown.
    deadline: kills the container, unless the guest tells before that what callbacks have left is over.
    """

    request: Request
    container: CellContainer | None = None
    preparing: asyncio.Task[CellContainer] | None = None
    deadline: asyncio.Task[None] | None = None
    interrupts: int = 0
    letters: list[Letter] = field(default_factory=list)
    error: dict[str, Any] | None = None

    def give(self, letter: Letter) -> None:
        """Send it a comm message, which it takes if it waits for one."""
        assert self.container is not None
        self.letters.append(letter)
        self.container.send(letter.frame, letter.buffers)

    def interrupt(self) -> None:
        """Interrupt it; a second time kills its container."""
        self.interrupts += 1
        if self.preparing is not None:
            self.preparing.cancel()
        elif self.container is not None and self.interrupts == 1:
            self.container.interrupt()
        elif self.container is not None:
            self.container.kill("interrupt")
