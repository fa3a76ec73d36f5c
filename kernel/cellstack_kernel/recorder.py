"""Outputs of cells into a notebook, by nbclient's rules: updates of displays, cleared outputs, the state of widgets."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from nbclient import NotebookClient
from nbformat import ValidationError

from cellstack_kernel.letters import Letter

if TYPE_CHECKING:
    from cellstack_kernel.executor import Executor

MAX_WHY = 200  # characters
CHAIN = "comm_open", "comm_msg", "comm_close"


class Recorder:
    """The front end of a notebook that is run headless: records outputs, answers no questions.

    executor: runs the cells, and has their widgets.
    parent: the id of the request whose outputs are recorded now, which widgets ask for.
    """

    def __init__(self, node: Any, executor: Executor | None = None) -> None:
        self._node = node
        self._client = NotebookClient(node, record_timing=False)
        self._client.reset_execution_trackers()
        self._executor = executor
        self._widgets = _Widgets()
        self._client.kc = self._widgets  # type: ignore[assignment]
        self._index = 0
        self.parent = ""

    def clear(self, index: int) -> None:
        """Forget what an earlier run has left in a cell."""
        cell = self._node.cells[index]
        cell.outputs, cell.execution_count = [], None

    def begin(self, index: int) -> None:
        """Record for the cell at `index` from now on."""
        self._index = index
        self._client.clear_before_next_output = False
        self.parent = uuid.uuid4().hex

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output."""
        message = {
            "msg_type": msg_type,
            "header": {"msg_type": msg_type},
            "parent_header": {"msg_id": self.parent},
            "content": content,
            "metadata": parts.get("metadata") or {},
            "buffers": list(parts.get("buffers") or ()),
        }
        cell = self._node.cells[self._index]
        # It comes from a container and need not be what widgets say, or what a notebook can have.
        if msg_type in CHAIN:
            try:
                self._client.process_message(message, cell, self._index)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError) as error:
                self._leave_out(f"a message of a widget was not understood ({type(error).__name__}: {error})")
            return
        try:
            self._client.process_message(message, cell, self._index)
        except ValidationError as error:
            self._leave_out(f"an output was left out, which no notebook can have ({error.message[:MAX_WHY]})")
        _join_streams(cell.outputs)

    def _leave_out(self, why: str) -> None:
        self.publish("stream", {"name": "stderr", "text": f"{why}\n"})

    async def ask(self, prompt: str, *, password: bool) -> str | None:  # noqa: ARG002
        """Say that nobody is there to answer."""
        return None

    async def drained(self) -> None:
        """Wait for nobody: what is recorded is wanted whole."""

    async def tell_widgets(self) -> None:
        """Tell the widgets what the model of the front end has for them, now that their cell is over."""
        waiting, self._widgets.waiting = self._widgets.waiting, {}
        for letter in waiting.values():
            if self._executor is not None:
                await self._executor.tell(letter, self)

    def finish(self) -> None:
        """Put the state of widgets into the notebook's metadata."""
        self._client.set_widgets_metadata()


def _join_streams(outputs: list[Any]) -> None:
    """Join the last output to the one before when both are text of one stream, as front ends show them."""
    if len(outputs) < 2:
        return
    before, last = outputs[-2:]
    if before.output_type == last.output_type == "stream" and before.name == last.name:
        before.text += last.text
        outputs.pop()


class _Widgets:
    """What nbclient's model of the Output widget needs of a kernel's client.

    waiting: the last message to each comm, which tells all that the earlier ones did.
    """

    def __init__(self) -> None:
        self.session = self
        self.shell_channel = self
        self.waiting: dict[str, Letter] = {}

    def msg(self, msg_type: str, content: dict[str, Any], **_: Any) -> Letter:
        """Return a message. The model goes on with its own content."""
        return Letter(msg_type, copy.deepcopy(content))

    def send(self, letter: Letter) -> None:
        """Have it wait until the cell is over."""
        self.waiting[letter.comm] = letter
