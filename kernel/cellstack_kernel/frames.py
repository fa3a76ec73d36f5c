"""Frames of a cell, checked: everything that comes out of a container is hostile until it has its shape."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellstack_guest.protocol import Message

COMM_TYPES = ("comm_open", "comm_msg", "comm_close")
REPLY_STATUS = ("ok", "error", "aborted", "complete", "incomplete", "invalid", "unknown")
MAX_NAME = 4096


class FrameError(Exception):
    """A frame that no guest of ours sends."""


def checked(message: Message) -> Message:
    """Return `message` with the fields its type has and no others; FrameError when one is not what it must be."""
    kind = message["type"]
    fields = _FIELDS.get(kind)
    if fields is None:
        raise FrameError(f"unknown frame type {kind[:40]!r}")
    result: Message = {"type": kind}
    for name, check in fields.items():
        try:
            result[name] = check(message.get(name))
        except (TypeError, ValueError, RecursionError) as error:
            raise FrameError(f"{kind}.{name}: {error}") from None
    return result


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    # A lone surrogate cannot be sent to a client.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _name(value: Any) -> str:
    text = _text(value)
    if len(text) > MAX_NAME:
        raise ValueError("too long for a name")
    return text


def _object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("not an object")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return dict(_replaced(value))
    return value


def _replaced(value: Any) -> Any:
    """Return JSON with what cannot be sent to a client replaced: lone surrogates by "?", NaN and infinity by null.

    Python reads and writes numbers that JSON does not have.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_replaced(entry) for entry in value]
    if isinstance(value, dict):
        return {_text(name): _replaced(entry) for name, entry in value.items()}
    return value


def _transient(value: Any) -> dict[str, Any]:
    transient = _object(value)
    if (name := transient.get("display_id")) is not None:
        transient = {**transient, "display_id": _name(name if isinstance(name, str) else json.dumps(name))}
    return transient


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [_text(entry) for entry in value]


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [_object(entry) for entry in value]


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _integers(value: Any) -> list[int]:
    return [] if value is None else [_integer(entry) for entry in value]


def _stream(value: Any) -> str:
    if value not in ("stdout", "stderr"):
        raise ValueError("not a stream")
    return str(value)


def _comm_type(value: Any) -> str:
    if value not in COMM_TYPES:
        raise ValueError("not a comm message")
    return str(value)


def _comm_content(value: Any) -> dict[str, Any]:
    content = _object(value)
    _name(content.get("comm_id"))
    _name(content.get("target_name") or "")
    return content


def _layer(value: Any) -> str | None:
    if value is None:
        return None
    text = _text(value)
    if len(text) != 32 or set(text) - set("0123456789abcdef"):
        raise ValueError("not a layer")
    return text


def _content(value: Any) -> dict[str, Any]:
    content = _object(value)
    if content.get("status", "ok") not in REPLY_STATUS:
        raise ValueError("unknown status")
    for name, check in _REPLY_FIELDS.items():
        if name in content:
            content[name] = check(content[name])
    if content.get("status") == "error":
        content = {"ename": "Error", "evalue": "", "traceback": [], **content}
    return content


def _carried(value: Any) -> dict[str, Any]:
    carried = _object(value)
    lists = {name: [_name(entry) for entry in carried.get(name) or []] for name in ("saved", "loaded")}
    refused = {_name(key): _name(text) for key, text in _object(carried.get("not_carried")).items()}
    return {**lists, "not_carried": refused}


def _modules(value: Any) -> list[dict[str, Any]]:
    groups = [] if value is None else _objects(value)
    return [
        {
            "names": [_name(entry) for entry in group.get("names") or []][:1000],
            "environ": {
                _name(name): None if text is None else _text(text)
                for name, text in _object(group.get("environ")).items()
            },
        }
        for group in groups
    ]


_REPLY_FIELDS: dict[str, Any] = {
    "ename": _text,
    "evalue": _text,
    "traceback": _texts,
    "execution_count": _integer,
    "user_expressions": _object,
    "payload": _objects,
}
_FIELDS: dict[str, dict[str, Any]] = {
    "stream": {"name": _stream, "text": _text},
    "display_data": {"data": _object, "metadata": _object, "transient": _transient},
    "update_display_data": {"data": _object, "metadata": _object, "transient": _transient},
    "execute_result": {"data": _object, "metadata": _object, "execution_count": _integer, "transient": _transient},
    "clear_output": {"wait": bool},
    "error": {"ename": _text, "evalue": _text, "traceback": _texts},
    "comm": {"msg_type": _comm_type, "content": _comm_content, "metadata": _object},
    "input_request": {"prompt": _text, "password": bool},
    "notice": {"text": _text},
    "debug": {"message": _object},
    "answer": {"content": _content},
    "rest": {},
    "reply": {
        "content": _content,
        "state": _layer,
        "carried": _carried,
        "modules": _modules,
        "taken": _integers,
        "busy": bool,
        "repeatable": bool,
    },
}
