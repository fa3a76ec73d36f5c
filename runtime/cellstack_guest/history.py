"""What earlier cells typed and gave: `In`, `Out`, `_`, `_i`, `_3`, and the sources that tracebacks show.

Inputs travel in `Carrier.extra`, some cells to a key, so that a key that is full is not written again. A result is
an ordinary carried variable `_3`, which is loaded when a cell can reach it: by its name, by `Out`, or by `_`, `__`
and `___`, which stand for the last three of them.
"""

from __future__ import annotations

import linecache
import operator
import re
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

CELLS_PER_KEY = 64
MAX_CHARACTERS = 4 * 2**20
MAX_RESULT = 4096  # characters of the text of a result
UNDERSCORES = ("_", "__", "___")
# Bound anew in every cell, never carried. The rest of IPython's names is what it was before the cell.
HIDDEN = frozenset({"_i", "_ii", "_iii"})
_KEY = "inputs:"
_RESULT = re.compile(r"_([1-9]\d*)")
_INPUT = re.compile(r"_i\d+")
_LAST = re.compile(r"(?<!\w)_{1,3}(?!\w)|%(?:recall|rep)\b")
_OUT = re.compile(r"\b(?:Out|_oh)\b(?:\[(\d+)\])?|\blogstart\b")  # the last writes all of them to a file

# number, Python, as typed (None where it is the same), file name; the text of its result, where it has one
Entry = tuple[int, str, str | None, str] | tuple[int, str, str | None, str, str]


class History:
    """The history of one run."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._entries: list[Entry] = []
        self._differs = False  # from what was saved: cells at or above the number of this one are gone, or some came

    def reach(self, code: str, carried: Iterable[str]) -> list[str]:
        """Return which results of `carried` the text of a cell reaches by other names than their own."""
        numbers: list[int] = []
        if _LAST.search(code):
            numbers += _results(carried)[-len(UNDERSCORES) :]
        for match in _OUT.finditer(code):
            numbers += [int(match[1])] if match[1] else _results(carried)
        return [f"_{number}" for number in numbers]

    def restore(
        self,
        extra: dict[str, Any],
        carried: list[str],
        count: int | None = None,
        earlier: Iterable[tuple[int, str]] = (),
    ) -> None:
        """Give the shell the inputs in `extra` and the results that were loaded.

        count: the cell about to run, which has none at or above its number; None when none is. earlier: number and
        text of cells before it that are not in `extra`.
        """
        saved = [entry for key in _keys(extra) for entry in extra[key]]
        self._entries = [entry for entry in saved if count is None or entry[0] < count]
        self._differs = len(self._entries) < len(saved)
        known = {number for number, *_ in self._entries}
        for number, typed in earlier:
            if number not in known:
                source = self._shell.transform_static(typed).text.rstrip("\n")
                self._entries.append((number, source, typed, self._shell.compile.get_code_name(typed, source, number)))
                self._differs = True
        self._entries.sort(key=operator.itemgetter(0))
        if count is None:
            count = self._entries[-1][0] + 1 if self._entries else 1
        self._restore_inputs(count)
        self._restore_results(carried)

    def _restore_inputs(self, count: int) -> None:
        manager = self._shell.history_manager
        parsed, raw = [""] * count, [""] * count
        names = {}
        for number, source, typed, name, *result in self._entries:
            parsed[number] = source
            raw[number] = source if typed is None else typed
            names[name] = number
            if result:
                manager.output_hist_reprs[number] = result[0]
        manager.input_hist_parsed[:] = parsed
        manager.input_hist_raw[:] = raw
        last = [source if typed is None else typed for _, source, typed, *_ in self._entries[-3:]]
        manager._i00, manager._i, manager._ii = [*reversed(last), "", "", ""][:3]  # noqa: SLF001
        for name, number in names.items():
            linecache.cache[name] = (partial(parsed.__getitem__, number),)
        self._shell.compile._filename_map.update(names)  # noqa: SLF001

    def restore_typed(self) -> None:
        """Bind `_i`, `_i3` and the like."""
        manager = self._shell.history_manager
        typed = {f"_i{number}": manager.input_hist_raw[number] for number, *_ in self._entries}
        typed |= {"_i": manager._i, "_ii": manager._ii, "_iii": manager._iii}  # noqa: SLF001
        self._shell.push(typed, interactive=False)

    def _restore_results(self, carried: list[str]) -> None:
        namespace, hook = self._shell.user_ns, self._shell.displayhook
        numbers = _results(carried)
        results = {number: namespace[f"_{number}"] for number in numbers if f"_{number}" in namespace}
        self._shell.user_ns["_oh"].update(results)
        self._shell.user_ns_hidden.update({f"_{number}": value for number, value in results.items()})
        for underscores, number in zip(UNDERSCORES, reversed(numbers), strict=False):
            if number in results:
                setattr(hook, underscores, results[number])
                if underscores not in carried:  # else the person has bound it
                    namespace[underscores] = results[number]

    def save(self, extra: dict[str, Any], count: int, name: str | None) -> None:
        """Put cell `count`'s inputs into `extra`, if it was stored as `name`; remove the names of ours."""
        manager, namespace = self._shell.history_manager, self._shell.user_ns
        if name is not None and len(manager.input_hist_parsed) == count + 1:
            parsed, raw = manager.input_hist_parsed[count], manager.input_hist_raw[count]
            entry: Entry = (count, parsed, None if parsed == raw else raw, name)
            if isinstance(result := manager.output_hist_reprs.get(count), str):
                entry = (*entry, result if len(result) <= MAX_RESULT else f"{result[:MAX_RESULT]}…")
            key = f"{_KEY}{count // CELLS_PER_KEY}"
            if self._differs or key not in extra or len(parsed) > MAX_CHARACTERS // CELLS_PER_KEY:
                self._save_all(extra)
            extra[key] = (*extra.get(key, ()), entry)
        for underscores in UNDERSCORES:
            if underscores in namespace and namespace[underscores] is getattr(self._shell.displayhook, underscores):
                del namespace[underscores]
        for typed_name in [key for key in namespace if _INPUT.fullmatch(key)]:
            del namespace[typed_name]

    def _save_all(self, extra: dict[str, Any]) -> None:
        """Put all inputs into `extra` anew, the oldest of too many left out."""
        characters, first = 0, len(self._entries)
        for _, source, typed, _, *result in reversed(self._entries):
            characters += len(source) + len(typed or "") + sum(map(len, result))
            if characters > MAX_CHARACTERS:
                break
            first -= 1
        chunks: dict[str, tuple[Entry, ...]] = {}
        for entry in self._entries[first:]:
            key = f"{_KEY}{entry[0] // CELLS_PER_KEY}"
            chunks[key] = (*chunks.get(key, ()), entry)
        for key in _keys(extra):
            if extra[key] != chunks.get(key):
                del extra[key]
        extra.update({key: chunk for key, chunk in chunks.items() if key not in extra})


def is_result(name: str) -> bool:
    """Tell whether `name` is one of `_1`, `_2` and so on."""
    return _RESULT.fullmatch(name) is not None


def _results(names: Iterable[str]) -> list[int]:
    return sorted({int(name[1:]) for name in names if name[:1] == "_" and is_result(name)})


def _keys(extra: dict[str, Any]) -> list[str]:
    return sorted((key for key in extra if key.startswith(_KEY)), key=lambda key: int(key[len(_KEY) :]))
