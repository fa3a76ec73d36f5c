"""The iopub channel: who joins is welcomed before anything else, and who is slow has few messages."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
from jupyter_client.session import Session

from cellstack_kernel.publisher import QUEUED_MESSAGES, Publisher


def test_a_client_that_joins_while_something_is_sent_is_welcomed_first() -> None:
    async def join() -> list[str]:
        context: Any = zmq.Context()
        session: Any = Session(key=b"secret")
        socket = context.socket(zmq.XPUB)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        publisher = Publisher(socket, session)
        client = context.socket(zmq.SUB)
        client.subscribe("")
        client.connect(f"tcp://127.0.0.1:{port}")
        socket.poll(10_000)  # the loop has had no chance to take what it has said
        publisher.send_multipart(session.serialize(session.msg("status", {})))
        try:
            parts = [session.feed_identities(client.recv_multipart())[1] for _ in range(2)]
            return [session.deserialize(part)["msg_type"] for part in parts]
        finally:
            publisher.close()
            context.destroy(linger=0)

    assert asyncio.run(join()) == ["iopub_welcome", "status"]


def test_text_that_waits_for_a_slow_reader_is_joined_and_stays_in_order() -> None:
    async def read_late() -> list[tuple[str, str | None, str | None]]:
        context: Any = zmq.Context()
        session: Any = Session(key=b"secret")
        first, second = (session.msg("execute_request", {}) for _ in range(2))
        socket = context.socket(zmq.XPUB)
        publisher = Publisher(socket, session)
        socket.bind("inproc://iopub")  # has room for as much as was set before
        client = context.socket(zmq.SUB)
        client.rcvhwm = 1
        client.subscribe("")
        client.connect("inproc://iopub")
        for _ in range(QUEUED_MESSAGES + 2):  # the last of them waits
            publisher.send_multipart(session.serialize(session.msg("status", {})))
        for text in ("a", "b", "c"):
            publisher.send_text("stdout", text, first, b"stream")
        publisher.send_text("stderr", "d", first, b"stream")
        publisher.send_multipart(session.serialize(session.msg("clear_output", {})))
        publisher.send_text("stdout", "e", first, b"stream")
        publisher.send_text("stdout", "f", second, b"stream")
        try:
            found: list[Any] = []
            while not found or found[-1][2] != "f":
                await asyncio.sleep(0)
                while client.poll(0):
                    message = session.deserialize(session.feed_identities(client.recv_multipart())[1])
                    content = message["content"]
                    found.append((message["msg_type"], message["parent_header"].get("msg_id"), content.get("text")))
            ids = {first["header"]["msg_id"]: "first", second["header"]["msg_id"]: "second", None: None}
            return [(kind, ids[parent], text) for kind, parent, text in found]
        finally:
            publisher.close()
            context.destroy(linger=0)

    async def in_time() -> list[tuple[str, str | None, str | None]]:
        return await asyncio.wait_for(read_late(), 20)

    found = [each for each in asyncio.run(in_time()) if each[0] not in ("iopub_welcome", "status")]
    assert found == [
        ("stream", "first", "abc"),
        ("stream", "first", "d"),
        ("clear_output", None, None),
        ("stream", "first", "e"),
        ("stream", "second", "f"),
    ]
