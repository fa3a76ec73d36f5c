"""What comes from the browser, checked against `schemas/requests.json`."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from jsonschema import Draft202012Validator

from cellstack_runtime.errors import UsageError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_SAID = 200  # characters


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """Return a schema file of this package."""
    found: dict[str, Any] = json.loads((resources.files(__package__) / "schemas" / name).read_text("utf-8"))
    return found


@functools.cache
def validator(file: str, name: str) -> Validator:
    """Return what checks for the definition `name` of a schema file."""
    definitions = schema(file)["$defs"]
    pointer = quote(name.replace("/", "~1"))  # RFC 6901
    checks: Validator = Draft202012Validator({"$ref": f"#/$defs/{pointer}", "$defs": definitions})
    return checks


def parsed(name: str, text: str | bytes) -> Any:
    """Return what the JSON `text` says, which is what `name` is defined to be; UsageError says why it is not."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UsageError("what was sent is not JSON") from None
    return request(name, value)


def _no_number(name: str) -> NoReturn:
    # json takes NaN, which is neither below a minimum nor above a maximum.
    raise ValueError(f"{name} is not JSON")


def request(name: str, value: Any) -> Any:
    """Return `value`, which is what `name` is defined to be; UsageError says why it is not."""
    error = next(iter(validator("requests.json", name).iter_errors(value)), None)
    if error is not None:
        where = ".".join(map(str, error.absolute_path))
        said = error.message if len(error.message) <= MAX_SAID else f"{error.message[:MAX_SAID]}…"
        raise UsageError(f"{where or name}: {said}")
    return value
