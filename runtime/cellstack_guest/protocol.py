"""Frames on the socket between the host and a cell, in both directions.

A frame is a header (`!IIQ`: JSON bytes, number of buffers, bytes of all buffers), the lengths of the buffers
(`!Q` each), the JSON text of one object with a "type", then the buffers. The host treats every frame as hostile
until it is parsed: sizes are bounded before anything is allocated, and nothing here imports or executes anything.

Host to cell
    execute        code, silent, store_history, user_expressions, allow_stdin, execution_count, cell_id,
                   state (layer id whose state to start from, or null), layer (id the new state is saved under),
                   earlier ([[number, text]] of cells before this one that the state does not know of),
                   debug ({"sources": {file name: text of a cell}}, or null where no debugger looks on),
                   layer_info (what `cellstack.layer` and `cellstack.limits` show, magics: the one that sets each)
    shell          code, state, layer, execution_count: run with the image's shell (`%%sh`)
    complete       code, cursor_pos, state
    inspect        code, cursor_pos, detail_level, omit_sections, state
    is_complete    code
    debug          message (a request of the Debug Adapter Protocol), once the guest has said that it listens;
                   as a first request: state, debug, to stand by with all variables and no code
    debug_ready    the debugger is attached: the code may run
    input_reply    value
    comm           msg_type ("comm_open", "comm_msg", "comm_close"), content, buffers
Requests have "keep" when the process shall wait for another one after them.
Cell to host
    stream         name ("stdout", "stderr"), text
    display_data, update_display_data   data, metadata, transient
    execute_result data, metadata, execution_count
    clear_output   wait
    error          ename, evalue, traceback (list of str)
    comm           msg_type, content, metadata, buffers
    input_request  prompt, password
    debug          message (a response or an event of the Debug Adapter Protocol)
    answer         content of the reply to complete, inspect and is_complete, asked of a process that is kept; empty
                   when it was given up
    notice         text: one line for the person, shown on stderr
    reply          content (of the Jupyter reply), state (layer id of the state after this cell, null if none),
                   carried {"saved": [...], "loaded": [...], "not_carried": {name: why}}, busy (whether callbacks have
                   left threads, tasks or timers that run on), repeatable (whether it has asked nobody, and all was
                   saved that can be); the last frame of a run, unless it is busy
    rest           what ran on after a reply that was busy is over
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Not `json.dumps` and `json.loads`, in whose place a cell may put other functions.
_encode, _decode = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().decode
_HEADER = struct.Struct("!IIQ")
_LENGTH = struct.Struct("!Q")
_CHUNK = 2**20
MAX_JSON = 256 * 2**20
MAX_BUFFERS = 4096
MAX_BUFFER_BYTES = 2**30
MAX_VALUES = 10_000_000  # in JSON: an empty list is of three bytes there, and of a hundred in memory
MAX_DEPTH = 200  # of JSON: those who send it on go through it by calling themselves

Message = dict[str, Any]


class ProtocolError(Exception):
    """The other side sent something that is not a frame."""


def encode(message: Message, buffers: Sequence[bytes | memoryview] = ()) -> list[bytes | memoryview]:
    """Return the pieces of one frame, ready for `socket.sendmsg`."""
    text = _encode(message).encode("utf-8", "surrogatepass")
    views = [memoryview(b).cast("B") for b in buffers]
    lengths = b"".join(_LENGTH.pack(len(v)) for v in views)
    head = _HEADER.pack(len(text), len(views), sum(map(len, views)))
    return [head + lengths + text, *views]


class Decoder:
    """Turns received bytes into messages; keeps what is incomplete for the next call."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Message, list[bytes]]]:
        """Yield (message, buffers) for every frame completed by `data`; ProtocolError on anything else."""
        self._data += data
        while (frame := self._take()) is not None:
            yield frame

    def _take(self) -> tuple[Message, list[bytes]] | None:
        data = self._data
        if len(data) < _HEADER.size:
            return None
        json_bytes, count, buffer_bytes = _HEADER.unpack_from(data)
        if json_bytes > MAX_JSON or count > MAX_BUFFERS or buffer_bytes > MAX_BUFFER_BYTES:
            raise ProtocolError(f"frame of {json_bytes} + {buffer_bytes} bytes in {count} buffers is over the limit")
        start = _HEADER.size + count * _LENGTH.size
        if len(data) < start + json_bytes + buffer_bytes:
            return None
        lengths = [_LENGTH.unpack_from(data, _HEADER.size + i * _LENGTH.size)[0] for i in range(count)]
        if sum(lengths) != buffer_bytes:
            raise ProtocolError(f"buffers of {sum(lengths)} bytes announced as {buffer_bytes}")
        message = _parse(bytes(data[start : start + json_bytes]))
        position = start + json_bytes
        buffers = []
        for length in lengths:
            buffers.append(bytes(data[position : position + length]))
            position += length
        del data[:position]
        return message, buffers


def _parse(text: bytes) -> Message:
    if (values := values_in(text)) > MAX_VALUES:
        raise ProtocolError(f"frame of {values:,} values is over the limit of {MAX_VALUES:,}")
    try:
        message = _decode(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"frame is not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("frame is not an object with a type")
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and is_deep(message):
        raise ProtocolError(f"frame is nested more than {MAX_DEPTH} deep")
    return message


def values_in(text: bytes) -> int:
    """Return how many values JSON has, at most: strings are looked into for no more than MAX_VALUES."""
    found = _separators(text)
    if found <= MAX_VALUES:
        return found
    found, is_inside = 0, False  # and of strings
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    for start in range(0, len(text), _CHUNK):
        parts = text[start : start + _CHUNK].split(b'"')
        found += _separators(b"".join(parts[is_inside::2]))
        is_inside ^= len(parts) % 2 == 0
    return found


def _separators(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{")))


def is_deep(value: Any) -> bool:
    """Tell whether JSON is nested more than MAX_DEPTH deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        parts = (entry.values() if type(entry) is dict else entry for entry in level)
        level = [part for entry in parts for part in entry if type(part) in (dict, list)]
        if not level:
            return False
    return True
