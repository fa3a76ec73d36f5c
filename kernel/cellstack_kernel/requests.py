"""Requests of front ends, checked: what a client sends may be anything, and each request gets an answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellstack_guest.protocol import MAX_DEPTH, is_deep
from cellstack_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NAME = 4096  # characters, as what comes out of a container may have
MAX_INTEGER = 2**53  # what JSON's readers agree on


def checked(message: dict[str, Any]) -> dict[str, Any]:
    """Return `message` with the fields of its content that its type has, each what it must be, or its default.

    UsageError names the first that is not.
    """
    kind = message["header"]["msg_type"]
    content, metadata = message["content"], message["metadata"]
    if is_deep([content, metadata]):
        raise UsageError(f"{kind}: it is nested more than {MAX_DEPTH} deep")
    if not isinstance(metadata.get("cellId"), str | None):  # it names no cell
        metadata = {name: value for name, value in metadata.items() if name != "cellId"}
    fields = _FIELDS.get(kind, {})
    result = dict(content)
    for name, (check, default) in fields.items():
        if content.get(name) is None and default is not _NEEDED:
            result[name] = default
            continue
        try:
            result[name] = check(content.get(name))
        except (TypeError, ValueError) as error:
            raise UsageError(f"{kind}: {name} is {error}") from None
    return {**message, "content": result, "metadata": metadata}


class NoMessageError(ValueError):
    """What has come is no message."""


def parsed(session: Any, frames: list[bytes]) -> tuple[list[bytes], dict[str, Any]]:
    """Return who sent a message, and the message. NoMessageError for all else, with a signature or without."""
    try:
        idents, parts = session.feed_identities(frames)
        message = session.deserialize(parts)
    except Exception as error:
        # Whoever reaches the port sends what he likes, and a socket whose callback raises is not read any more.
        raise NoMessageError(f"{type(error).__name__}: {error}") from error
    if not is_message(message):
        raise NoMessageError("it is without its parts")
    if not isinstance(message["parent_header"], dict):  # that of most requests is empty
        message["parent_header"] = {}
    return idents, message


def is_message(message: Any) -> bool:
    """Tell whether a message, whose signature is right, has the parts that every message has."""
    if not isinstance(message, dict):
        return False
    header = message.get("header")
    if not isinstance(header, dict) or not isinstance(header.get("msg_type"), str):
        return False
    if not isinstance(header.get("msg_id"), str | int | float | None):
        return False
    parts = (message.get("content"), message.get("metadata"))
    if not isinstance(header.get("subshell_id"), str | None) or not all(isinstance(part, dict) for part in parts):
        return False
    try:  # it comes back with every answer
        json.dumps(header, ensure_ascii=False, allow_nan=False, default=str).encode()
    except (ValueError, RecursionError):
        return False
    return not is_deep(header)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent on


def _name(value: Any) -> str:
    text = _text(value)
    if len(text) > MAX_NAME:
        raise ValueError(f"{len(text):,} characters long; {MAX_NAME:,} are the most")
    return text


def _seconds(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("no number")
    return float(value)


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) > MAX_INTEGER:
        raise TypeError("no integer")
    return value


def _yes(value: Any) -> bool:
    return bool(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _expressions(value: Any) -> dict[str, str | None]:
    """Return the expressions of a cell; one that is no text is None, which is an error of this expression alone."""
    codes = _object(value or {}).items()
    return {_text(name): _text(code) if isinstance(code, str) else None for name, code in codes}


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return [_text(entry) for entry in value]


def _access(value: Any) -> str:
    if value not in ("range", "tail", "search"):
        raise ValueError("none of range, tail, search")
    return str(value)


_NEEDED = object()
_Field = tuple["Callable[[Any], Any]", Any]
_CODE: dict[str, _Field] = {"code": (_text, _NEEDED), "cursor_pos": (_integer, None)}
_COMM: dict[str, _Field] = {"comm_id": (_name, _NEEDED), "data": (_object, {})}
_FIELDS: dict[str, dict[str, _Field]] = {
    "execute_request": {
        "code": (_text, _NEEDED),
        "silent": (_yes, False),
        "user_expressions": (_expressions, {}),
        "allow_stdin": (_yes, False),
        "stop_on_error": (_yes, True),
    },
    "complete_request": _CODE,
    "inspect_request": {**_CODE, "detail_level": (_integer, 0), "omit_sections": (_texts, [])},
    "is_complete_request": {"code": (_text, _NEEDED)},
    "history_request": {
        "hist_access_type": (_access, _NEEDED),
        "output": (_yes, False),
        "raw": (_yes, True),
        "session": (_integer, 0),
        "start": (_integer, None),
        "stop": (_integer, None),
        "n": (_integer, None),
        "pattern": (_text, None),
        "unique": (_yes, False),
    },
    "cellstack_outputs_request": {"since": (_seconds, 0.0), "number": (_integer, None)},
    "comm_info_request": {"target_name": (_text, None)},
    "shutdown_request": {"restart": (_yes, False)},
    "delete_subshell_request": {"subshell_id": (_text, _NEEDED)},
    "debug_request": {"command": (_text, _NEEDED), "seq": (_integer, 0), "arguments": (_object, {})},
    "comm_open": {**_COMM, "target_name": (_name, _NEEDED)},
    "comm_msg": _COMM,
    "comm_close": _COMM,
}
