"""The frames a cell sends: whole, in order, from threads, signal handlers and forked children."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from cellstack_guest import outputs, protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Slow:
    """Takes a few bytes at a time, and raises now and then after it took them, as a signal handler would."""

    def __init__(self, raise_every: int = 0) -> None:
        self.data = bytearray()
        self.calls = 0
        self.raise_every = raise_every

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        self.calls += 1
        if self.raise_every and self.calls % self.raise_every == 0:
            raise KeyboardInterrupt
        piece = bytes(next(iter(buffers)))[:7]
        self.data += piece
        return len(piece)

    def frames(self) -> list[tuple[protocol.Message, list[bytes]]]:
        return list(protocol.Decoder().feed(bytes(self.data)))


def bound(sink: outputs.Sink) -> outputs.Outputs:
    made = outputs.Outputs()
    made.bind(sink)
    return made


def test_a_frame_taken_in_small_pieces_arrives_whole() -> None:
    sink = Slow()
    made = bound(sink)
    made.send({"type": "comm", "content": "x" * 100}, [b"abc", memoryview(b"defg")])
    assert sink.frames() == [({"type": "comm", "content": "x" * 100}, [b"abc", b"defg"])]


def test_an_exception_in_the_middle_of_a_frame_only_delays_it() -> None:
    sink = Slow(raise_every=3)
    made = bound(sink)
    interrupted = 0
    for number in range(20):
        try:
            made.send({"type": "notice", "text": f"message {number}"})
        except KeyboardInterrupt:
            interrupted += 1
    while True:
        try:
            made.flush()
            break
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted > 20
    assert [message["text"] for message, _ in sink.frames()] == [f"message {number}" for number in range(20)]


def test_text_comes_before_what_is_sent_after_it() -> None:
    sink = Slow()
    made = bound(sink)
    made.text("stdout", "a")
    made.text("stdout", "b")
    made.text("stderr", "c")
    made.text("stdout", "d")
    made.send({"type": "clear_output", "wait": False})
    kinds = [(message["type"], message.get("name"), message.get("text")) for message, _ in sink.frames()]
    assert kinds == [
        ("stream", "stdout", "ab"),
        ("stream", "stderr", "c"),
        ("stream", "stdout", "d"),
        ("clear_output", None, None),
    ]


def test_text_is_sent_by_itself_after_a_moment() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        made = bound(ours)
        made.text("stdout", "soon")
        ((message, _),) = protocol.Decoder().feed(theirs.recv(4096))
        assert message == {"type": "stream", "name": "stdout", "text": "soon"}


def test_a_long_text_is_cut_into_frames() -> None:
    taken: list[bytes] = []

    class Sink:
        def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
            pieces = [bytes(piece) for piece in buffers]
            taken.extend(pieces)
            return sum(map(len, pieces))

    made = bound(Sink())
    text = "0123456789" * 250_000
    made.text("stdout", text)
    made.flush()
    frames = list(protocol.Decoder().feed(b"".join(taken)))
    assert "".join(message["text"] for message, _ in frames) == text
    assert max(len(message["text"]) for message, _ in frames) <= outputs.FRAME_CHARACTERS


def test_a_message_over_the_hosts_limit_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_JSON", 1000)
    sink = Slow()
    with pytest.raises(ValueError, match="over the limit"):
        bound(sink).send({"type": "display_data", "data": {"text/plain": "x" * 2000}})
    assert not sink.data


def test_a_message_of_more_values_than_the_host_takes_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_VALUES", 1000)
    sink = Slow()
    with pytest.raises(ValueError, match="values is over the limit"):
        bound(sink).send({"type": "display_data", "data": {"a/json": [0] * 2000}})
    assert not sink.data
    bound(sink).send({"type": "display_data", "data": {"text/plain": "0, " * 2000}})
    assert sink.data


def test_what_json_cannot_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        bound(Slow()).send({"type": "display_data", "data": {"x": object()}})


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_text_and_displays_of_a_child_go_to_its_descriptors() -> None:
    reader, writer = os.pipe()
    sink = Slow()
    made = bound(sink)
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        made.text("stdout", "text\n")
        made.send({"type": "display_data", "data": {"text/plain": "shown"}})
        made.flush()
        os._exit(len(sink.data))
    os.close(writer)
    with open(reader) as file:
        assert file.read() == "text\nshown\n"
    assert os.waitpid(pid, 0)[1] == 0


def test_muted_outputs_say_nothing() -> None:
    sink = Slow()
    made = bound(sink)
    with made.muted():
        made.text("stdout", "x")
        made.send({"type": "notice", "text": "x"})
    made.flush()
    assert not sink.data


def test_a_thread_that_ran_before_is_heard_while_another_is_muted() -> None:
    sink = Slow()
    made = bound(sink)
    muted, said = threading.Event(), threading.Event()

    def work() -> None:
        muted.wait()
        made.send({"type": "notice", "text": "heard"})
        said.set()

    thread = threading.Thread(target=work)
    thread.start()
    with made.muted():
        made.send({"type": "notice", "text": "not heard"})
        muted.set()
        assert said.wait(10)
    thread.join()
    assert [message["text"] for message, _ in protocol.Decoder().feed(bytes(sink.data))] == ["heard"]


def test_threads_do_not_mix_their_frames() -> None:
    sink = Slow()
    made = bound(sink)

    def work(name: str) -> None:
        for _ in range(50):
            made.send({"type": "notice", "text": name * 20})

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = sorted(message["text"] for message, _ in sink.frames())
    assert texts == sorted(name * 20 for name in "abcd" for _ in range(50))


def test_a_stream_is_a_text_file_without_terminal() -> None:
    sink = Slow()
    made = bound(sink)
    stream = outputs.Stream(made, "stderr")
    print("a", "b", file=stream)
    stream.writelines(["c", "d"])
    stream.close()
    stream.write("e")
    stream.flush()
    assert "".join(message["text"] for message, _ in sink.frames()) == "a b\ncde"
    assert (stream.fileno(), stream.isatty(), stream.writable(), stream.encoding) == (2, False, True, "UTF-8")
    with pytest.raises(TypeError, match="must be str"):
        stream.write(b"bytes")  # type: ignore[arg-type]
