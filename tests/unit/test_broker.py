"""The broker's loop and channel, without any container."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime.broker.channel import pair
from cellstack_runtime.broker.chores import Chores
from cellstack_runtime.broker.loop import Event, Loop

if TYPE_CHECKING:
    from collections.abc import Generator


def test_tasks_wait_for_events_and_get_their_values() -> None:
    loop = Loop()
    event = loop.event()
    seen: list[Any] = []

    def task() -> Generator[Event, Any, None]:
        seen.append((yield event))
        seen.append((yield event))  # already set: goes on at once
        loop.stop()

    loop.start(task())
    assert seen == []
    loop.soon(lambda: event.set("value"))
    loop.run()
    assert seen == ["value", "value"]


def test_chores_are_done_in_order_and_one_that_fails_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    chores = Chores()
    done: list[int] = []
    chores.add(lambda: done.append(1), lambda: os.rmdir("/nowhere"), lambda: done.append(2))
    chores.finish()
    assert done == [1, 2]
    assert "cleaning up: [Errno 2]" in capsys.readouterr().err


def test_timers_fire_in_order() -> None:
    loop = Loop()
    order: list[int] = []
    loop.later(0.02, loop.stop)
    loop.later(0.01, lambda: order.append(2))
    loop.later(0.0, lambda: order.append(1))
    loop.run()
    assert order == [1, 2]


def test_nothing_that_is_ready_as_well_is_called_after_the_stop() -> None:
    loop = Loop()
    called: list[int] = []
    pipes = [os.pipe() for _ in range(2)]

    def stop(number: int) -> None:
        called.append(number)
        loop.later(0.0, lambda: called.append(9))
        loop.stop()

    for number, (read, write) in enumerate(pipes):
        os.write(write, b"x")
        loop.readable(read, lambda number=number: stop(number))  # type: ignore[misc]
    loop.run()
    assert len(called) == 1
    for fd in itertools.chain(*pipes):
        os.close(fd)


def test_messages_carry_descriptors() -> None:
    ours, theirs = pair()
    read, write = os.pipe()
    ours.send({"op": "hello"}, [write])
    message, (received,) = theirs.receive()
    os.write(received, b"through")
    assert (message, os.read(read, 100)) == ({"op": "hello"}, b"through")
    for fd in (read, write, received):
        os.close(fd)
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    with pytest.raises(EOFError):
        theirs.send({})
    theirs.close()


def test_a_message_that_is_no_object_is_refused() -> None:
    ours, theirs = pair()
    ours.sock.send(b"[1]")
    with pytest.raises(ValueError, match="not an object"):
        theirs.receive()
    ours.close()
    theirs.close()
