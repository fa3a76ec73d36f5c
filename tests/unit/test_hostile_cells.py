"""A cell's process may send whatever it likes: the cell ends with one line, and the next one runs."""

from __future__ import annotations

import asyncio
import json
import struct
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session
from nbformat.v4 import new_code_cell, new_notebook
from tests.hostile import text, values

from cellstack_guest.protocol import Decoder, ProtocolError, encode
from cellstack_kernel.executor import MAX_CODE, MAX_COMMS, Executor
from cellstack_kernel.letters import Letter
from cellstack_kernel.recorder import Recorder
from cellstack_kernel.runs import Kept, Request
from cellstack_runtime.containers import ExitReport, Finished
from cellstack_runtime.limits import Limits
from cellstack_runtime.store import Changes

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

LAYER = "b" * 32
REPLY = {"type": "reply", "content": {"status": "ok"}, "state": LAYER, "carried": {}, "modules": [], "taken": []}
names = st.sampled_from(["comm-1", "comm-2", "display-1"])
bundles = st.dictionaries(st.sampled_from(["text/plain", "text/html", "a/json", "application/x+json", "x"]), values)
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "stream": {"name": st.just("stdout"), "text": text},
    "display_data": {"data": bundles, "metadata": values, "transient": st.fixed_dictionaries({"display_id": names})},
    "update_display_data": {"data": bundles, "metadata": values, "transient": st.fixed_dictionaries({})},
    "execute_result": {"data": bundles, "metadata": values, "execution_count": st.integers()},
    "clear_output": {"wait": values},
    "error": {"ename": text, "evalue": text, "traceback": st.lists(text, max_size=2)},
    "comm": {
        "msg_type": st.sampled_from(["comm_open", "comm_msg", "comm_close"]),
        "content": st.fixed_dictionaries({"comm_id": names, "data": st.dictionaries(text, values, max_size=3)})
        | st.fixed_dictionaries(
            {
                "comm_id": names,
                "target_name": st.just("jupyter.widget"),
                "data": st.fixed_dictionaries({"state": values}),
            }
        ),
        "metadata": values,
    },
    "input_request": {"prompt": text, "password": st.booleans()},
    "notice": {"text": text},
    "debug": {"message": values},
    "answer": {"content": values},
    "reply": {
        "content": st.fixed_dictionaries(
            {"status": st.sampled_from(["ok", "error", "aborted"])},
            optional={"payload": values, "user_expressions": values, "execution_count": values, "ename": values},
        ),
        "state": st.sampled_from([None, LAYER, "c" * 32]),
        "carried": values | st.fixed_dictionaries({"saved": values, "loaded": values, "not_carried": values}),
        "modules": st.lists(
            st.fixed_dictionaries({"names": st.lists(text, max_size=2), "environ": st.dictionaries(text, text)})
            | values,
            max_size=2,
        )
        | values,
        "taken": st.lists(st.integers(), max_size=2) | values,
        "busy": st.booleans() | values,
        "repeatable": st.booleans() | values,
    },
    "rest": {},
}


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a frame of which most fields, or none, are what they must be."""
    kind = draw(st.sampled_from(sorted(FIELDS)))
    frame: dict[str, Any] = {"type": kind}
    for name, strategy in FIELDS[kind].items():
        if (chance := draw(st.integers(0, 9))) < 9:
            frame[name] = draw(strategy if chance else values)
    return frame


@dataclass
class Container:
    """A container whose process sends what a test gives."""

    arriving: list[tuple[dict[str, Any], list[bytes]]]
    id: str = "c0"
    layer: str = LAYER
    limits: Limits = field(default_factory=Limits)
    pid: int = 1
    cgroup: str | None = None
    namespaces: dict[str, int] = field(default_factory=dict)
    enforced_by: dict[str, str] = field(default_factory=dict)
    killed: str | None = None
    sent: list[dict[str, Any]] = field(default_factory=list)
    ended: str = ""
    committed: dict[str, Any] = field(default_factory=dict)

    def send(self, message: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        b"".join(bytes(piece) for piece in encode(message, buffers))
        self.sent.append(message)

    async def receive(self) -> tuple[dict[str, Any], list[bytes]] | None:
        return self.arriving.pop(0) if self.arriving else None

    def put_back(self, frames: Sequence[None]) -> None:
        """Nothing but its end, which comes again anyhow."""

    def kill(self, reason: str) -> None:
        self.killed = self.killed or reason

    def interrupt(self) -> None:
        self.killed = "interrupt"

    async def so_far(self) -> Finished:
        return self._finished(None)

    async def discard(self) -> Finished:
        self.ended = "discarded"
        return self._finished(None)

    async def commit(self, **what: Any) -> Finished:
        self.ended, self.committed = "committed", what
        return self._finished(LAYER)

    def _finished(self, layer: str | None) -> Finished:
        return Finished(ExitReport(self.killed or "finished"), 0.0, 0.0, 0, Changes(), layer)


class Workspace:
    """A workspace that gives out the containers that a test has made."""

    def __init__(self, *containers: Container) -> None:
        self.containers = list(containers)
        self.head: str | None = None
        self.limits = Limits()
        self.learned: list[dict[str, Any]] = []
        self.chores: list[asyncio.Future[None]] = []
        self.zygotes = self

    def learn(self, groups: Sequence[dict[str, Any]]) -> None:
        self.learned.extend(groups)

    def expect(self, code: str) -> None:
        pass

    def decide(self) -> None:
        pass

    async def settled(self) -> None:
        await asyncio.sleep(0)

    async def container(self, *, limits: Limits | None = None) -> Container:
        del limits
        return self.containers.pop(0)

    def prepare(self) -> None:
        pass

    def on_change(self) -> None:
        pass

    def chore(self, work: Coroutine[Any, Any, None]) -> None:
        self.chores.append(asyncio.ensure_future(work))


class Front:
    """A front end that is as particular as a Jupyter client, and records a notebook as well."""

    def __init__(self) -> None:
        self.session = Session(key=b"key")
        self.said: list[tuple[str, dict[str, Any]]] = []
        notebook: Any = new_notebook(cells=[new_code_cell("code")])  # type: ignore[no-untyped-call]
        self.recorder = Recorder(notebook)
        self.recorder.begin(0)

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.session.serialize(self.session.msg(msg_type, content, metadata=parts.get("metadata")))
        self.said.append((msg_type, content))
        self.recorder.publish(msg_type, content, **parts)

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        del prompt, password
        return "answer"

    async def drained(self) -> None:
        await asyncio.sleep(0)


def arriving(*sent: dict[str, Any]) -> list[tuple[dict[str, Any], list[bytes]]]:
    """Return frames as they come out of a socket."""
    return list(Decoder().feed(b"".join(bytes(piece) for frame in sent for piece in encode(frame))))


def executor(*containers: Container) -> tuple[Executor, Workspace]:
    workspace: Any = Workspace(*containers)
    return Executor(workspace), workspace


@settings(deadline=None, max_examples=200)
@given(sent=st.lists(frames(), max_size=4), commit=st.booleans())
@example(sent=[{"type": "display_data", "data": {"a/json": float("nan")}, "metadata": {}}, REPLY], commit=True)
@example(sent=[{"type": "answer", "content": {}}], commit=True)
def test_whatever_a_cell_sends_it_ends_and_the_next_one_runs(sent: list[dict[str, Any]], commit: bool) -> None:
    first, second = Container(arriving(*sent)), Container(arriving(REPLY))
    runs, _ = executor(first, second)
    front = Front()
    outcome = asyncio.run(runs.run(Request("code", commit=commit, allow_stdin=True), front))
    assert first.ended
    assert outcome.content["status"] in ("ok", "error")
    json.dumps([outcome.content, outcome.record], allow_nan=False, ensure_ascii=False).encode()
    if first.ended == "discarded" and commit:
        assert outcome.record["status"] == "killed"
        assert "\n" not in outcome.content["evalue"]
        assert outcome.content["evalue"].startswith("cell ")
    after = asyncio.run(runs.run(Request("1"), Front()))
    assert (after.content["status"], second.ended) == ("ok", "committed")


@settings(deadline=None, max_examples=100)
@given(sent=st.lists(frames(), max_size=3))
@example(sent=[{"type": "stream", "name": "nowhere", "text": ""}])
def test_a_container_of_widgets_that_sends_what_is_no_message_is_ended(sent: list[dict[str, Any]]) -> None:
    """And the one that cells share, if it is that one."""
    for kept in (False, True):
        container = Container(arriving(*sent))
        runs, _ = executor(container)
        if kept:
            runs.kept = Kept(container, 1, {"number": 1, "code": "", "status": "ok"})  # type: ignore[arg-type]

        async def tell(runs: Executor = runs) -> None:
            await runs.tell(Letter("comm_msg", {"comm_id": "comm-1", "data": {}}), Front())
            await runs._stay()

        asyncio.run(tell())
        assert runs.runs == []
        if container.ended:
            assert (runs.live, runs.kept) == (None, None)
        else:
            left: Any = runs.kept or runs.live
            assert left.container is container


def test_a_container_of_widgets_that_is_ended_says_why() -> None:
    container = Container(arriving({"type": "stream", "name": "nowhere", "text": ""}))
    runs, _ = executor(container)
    front = Front()
    asyncio.run(runs.tell(Letter("comm_msg", {"comm_id": "comm-1", "data": {}}), front))
    [(kind, content)] = front.said
    assert (kind, container.killed, container.ended) == ("error", "protocol", "discarded")
    assert content["evalue"].startswith("cell sent something that is no output and was killed.")


def test_comms_that_are_opened_without_end_do_not_grow_the_kernel() -> None:
    opening = [
        {"type": "comm", "msg_type": "comm_open", "content": {"comm_id": str(number), "target_name": "t"}}
        for number in range(MAX_COMMS + 10)
    ]
    runs, _ = executor(Container(arriving(*opening, REPLY)))

    class Deaf(Front):
        def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
            pass

    asyncio.run(runs.run(Request("code"), Deaf()))
    assert len(runs.comms) == MAX_COMMS
    assert "0" not in runs.comms
    assert str(MAX_COMMS + 9) in runs.comms


def test_code_is_cut_in_the_record_of_its_layer() -> None:
    container = Container(arriving(REPLY))
    runs, _ = executor(container)
    asyncio.run(runs.run(Request("x" * (MAX_CODE + 5)), Front()))
    assert container.committed["cell"]["code"] == "x" * MAX_CODE + "\n# … and 5 more characters\n"
    assert container.sent[0]["code"] == "x" * (MAX_CODE + 5)


@pytest.mark.parametrize("leaf", [b"1", b"NaN", rb'"\ud800"'])
def test_json_that_is_deep_is_no_frame(leaf: bytes) -> None:
    for depth, fine in ((100, True), (300, False), (900, False)):
        deep = b'{"type":"display_data","data":{"a/json":' + b"[" * depth + leaf + b"]" * depth + b"}}"
        feeding = Decoder().feed(struct.pack("!IIQ", len(deep), 0, 0) + deep)
        if fine:
            [(message, _)] = feeding
            assert message["type"] == "display_data"
        else:
            with pytest.raises(ProtocolError, match="deep"):
                list(feeding)
