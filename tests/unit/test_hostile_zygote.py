"""A zygote imports what cells have installed: whatever it sends, the broker lives and knows how its cells ended."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.hostile import values

from cellstack_runtime.broker.channel import Channel, pair
from cellstack_runtime.broker.loop import Loop
from cellstack_runtime.broker.zygotes import Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator

messages = st.dictionaries(
    st.sampled_from(["ready", "pid", "gone", "exited", "cpu", "peak"]), values | st.sampled_from([7, 0, 9, 0.5])
)


class Broker:
    def __init__(self) -> None:
        self.loop = Loop()
        self.run_dir = "/nowhere"
        self.zygotes: dict[str, Any] = {}


class Container:
    id = "c0"

    def __init__(self) -> None:
        self.ends: list[dict[str, Any]] = []

    def kill(self, reason: str) -> None:
        assert reason == "zygote"

    def on_exit(self, end: dict[str, Any]) -> None:
        self.ends.append(end)


class Talk:
    """The broker's side of a zygote, which has been asked for a cell's process, and the zygote's end of its channel."""

    def __init__(self) -> None:
        container: Any = Container()
        broker: Any = Broker()
        ours, self.theirs = pair()
        self.container = container
        self.zygote = Zygote(broker, "key")
        self.zygote.channel = ours
        broker.loop.readable(ours.fileno(), self.zygote._on_message)
        self.forked = self.zygote.fork(container, {}, [])
        self.theirs.receive()

    def say(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        if self.zygote.channel is None:
            return
        if fds:
            Channel(self.theirs.sock).send(json.loads(data), fds)
        else:
            self.theirs.sock.send(data)
        self.zygote._on_message()

    def close(self) -> None:
        if self.zygote.channel is not None:
            self.theirs.close()
            self.zygote._on_message()
        self.theirs.close()


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(said=st.lists(messages | values, max_size=5))
@example(said=[{"pid": []}, {"gone": {}}, {"ready": []}])
@example(said=[{"gone": 7, "exited": 2**40, "cpu": 0.5, "peak": 7}])
def test_whatever_it_says_its_cells_have_an_end_that_can_be_told(said: list[Any]) -> None:
    before, talk = descriptors(), Talk()
    read, write = os.pipe()
    talk.say(b'{"pid": 7}', (read,))
    for message in said:
        talk.say(json.dumps(message).encode())
    talk.close()
    _, (received,) = talk.forked.value
    for fd in (read, write, received):
        os.close(fd)
    [end] = talk.container.ends
    os.waitstatus_to_exitcode(end["exited"])
    assert end["cpu"] >= 0
    assert end["peak"] >= 0
    del talk
    assert descriptors() <= before + 1  # the loop's own, until it is collected


@pytest.mark.parametrize("data", [b"[" * 900_000, b"{", b"3", b"\xff", b'{"pid": ' + b"9" * 5000 + b"}"])
def test_what_is_no_message_ends_it(talk: Talk, data: bytes) -> None:
    talk.say(data)
    assert talk.zygote.channel is None
    assert talk.forked.value == (None, [])


def test_descriptors_of_what_is_no_message_are_closed(talk: Talk) -> None:
    read, write = os.pipe()
    before = descriptors()
    talk.theirs.send({"x": 1}, [read, write])
    talk.zygote._on_message()
    assert descriptors() == before
    os.close(read)
    os.close(write)
