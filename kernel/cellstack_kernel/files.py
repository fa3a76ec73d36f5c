"""Notebook files: read and checked, parameters put in, written atomically."""

from __future__ import annotations

import json
import keyword
import os
import secrets
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nbformat

from cellstack_runtime.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

STDOUT = "-"
PARAMETERS, INJECTED = "parameters", "injected-parameters"  # papermill's tags
SKIPPED = "skip-execution"  # a tag of nbclient and nbconvert


@dataclass(slots=True)
class Document:
    """A notebook file. path: absolute. node: the notebook in nbformat 4."""

    path: str
    node: Any

    @classmethod
    def read(cls, path: str) -> Document:
        """Read the Python notebook at `path`; UsageError when it is none."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise UsageError(f"there is no notebook {path}") from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not a notebook: it is not UTF-8 text ({error.reason})") from None
        except OSError as error:
            raise UsageError(f"the notebook {path} cannot be read: {error.strerror}") from None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about ids that old notebooks do not have
                node = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
                nbformat.validate(node)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, nbformat.ValidationError) as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise UsageError(f"{path} is not a notebook: {why[0][:200]}") from None
        language = node.metadata.get("kernelspec", {}).get("language") or "python"
        if language.lower() != "python":
            raise UsageError(f"{path} is a notebook in {language}", hint="Cells run Python, and shell with %%sh")
        return cls(os.path.abspath(path), node)

    @property
    def metadata(self) -> Any:
        """The notebook's metadata."""
        return self.node.metadata

    def set_parameters(self, entries: Sequence[str]) -> None:
        """Put "NAME=VALUE" entries into a cell behind the one tagged "parameters", else at the top.

        Values are numbers, true, false, null or JSON; anything else is a text.
        """
        if not entries:
            return
        lines = ["# Parameters"]
        for entry in entries:
            name, given, value = entry.partition("=")
            if not given or not name.isidentifier() or keyword.iskeyword(name):
                raise UsageError(f"-p {entry!r} is not NAME=VALUE", hint="For example -p year=2024")
            lines.append(f"{name} = {_value(value)!r}")
        cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": [INJECTED]})  # type: ignore[no-untyped-call]
        kept = [old for old in self.node.cells if INJECTED not in old.metadata.get("tags", ())]
        tagged = [i for i, old in enumerate(kept) if PARAMETERS in old.metadata.get("tags", ())]
        kept.insert(tagged[0] + 1 if tagged else 0, cell)
        self.node.cells = kept

    def write(self, target: str) -> None:
        """Write the notebook to what `output_path` returned, whole or not at all.

        Links are not followed: whatever is at `target` by now, cells may have brought it there.
        """
        text = nbformat.writes(self.node) + "\n"  # type: ignore[no-untyped-call]
        if target == STDOUT:
            sys.stdout.write(text)
            return
        partial = _partial(target)
        try:
            with open(partial, "x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if os.path.isfile(target) and not os.path.islink(target):
                os.chmod(partial, os.stat(target).st_mode & 0o777)
            os.rename(partial, target)
        except OSError as error:
            if os.path.exists(partial):
                os.unlink(partial)
            raise StoreError(f"the executed notebook cannot be written to {target}: {error.strerror}") from None


def is_executed(cell: Any) -> bool:
    """Tell whether a cell is one that is run: of code, not empty, and not tagged to be skipped."""
    return (
        cell["cell_type"] == "code" and bool(cell["source"].strip()) and SKIPPED not in cell["metadata"].get("tags", ())
    )


def output_path(path: str) -> str:
    """Return where `path` leads, with links resolved; StoreError when no file can be written there."""
    if path == STDOUT:
        return path
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise StoreError(f"the executed notebook cannot be written to {path}: it is a folder")
    partial = _partial(target)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.unlink(partial)
    except OSError as error:
        raise StoreError(f"the executed notebook cannot be written to {path}: {error.strerror}") from None
    return target


def _partial(target: str) -> str:
    return os.path.join(os.path.dirname(target), f".{os.path.basename(target)[:200]}.{secrets.token_hex(4)}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
