"""The iopub channel: who joins is welcomed before anything else."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
from jupyter_client.session import Session

from cellstack_kernel.publisher import Publisher


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
