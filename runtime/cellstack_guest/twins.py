"""Writing down what modules hold (`tables.py`): in a throw-away fork, which is of no use after that."""

from __future__ import annotations

# The functions of `signal` itself make an enum of each signal, by exceptions: a debugger may be told to stop there.
import _signal
import array
import contextlib
import fcntl
import gc
import itertools
import marshal
import mmap
import os
import posix  # not `os`, in which a cell may replace functions
import sys
import types
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_guest import exclusions, layouts, nodes, words
from cellstack_guest.tables import ARRAYS, HEAD, NONE, Table, coded, is_atom, mark, marks

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Sequence

    from cellstack_guest.nodes import Step
    from cellstack_guest.tables import Change, Marks, Place

    Known = tuple[Table, dict[int, Marks]]

_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE of <object.h>
_pinned: list[object] = []


def pin() -> None:
    """Keep all objects that there are, so that no fork makes another one at the address of one of them."""
    _pinned.extend(gc.get_objects())  # what was frozen before is not among them


class _Builder:
    """Collects the table of this process, which is of no use after that."""

    def __init__(self, known: Container[int]) -> None:
        self._known = known
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._parent = array.array("Q")
        self._edge = array.array("Q")
        self._start = array.array("Q")
        self._parts = array.array("Q"), array.array("Q")  # steps, marks
        self._words = array.array("Q"), array.array("Q"), array.array("Q")  # places, contents, numbers of the nodes
        self._texts: list[bytes] = []
        self._steps: dict[Any, int] = {}
        self._ways: set[int] = set()  # numbers of known objects, on paths to others

    def table(self, roots: Iterable[tuple[str, Any]], changed: Iterable[tuple[Place, Change]] = ()) -> list[bytes]:
        """Return the pieces of the table of what can be reached from modules, and from what has changed elsewhere."""
        for name, module in roots:
            self._add(module, NONE, self._step(("m", name)))
        for place, change in changed:
            number = self._way(place)
            for step, value in change.put:
                if type(value) not in nodes.LEAVES and id(value) not in self._numbers:
                    self._follow(number, self._step(coded(step)), step, value)
        for number, obj in enumerate(self._objects):  # which grows
            self._start.append(len(self._parts[0]))
            if number in self._ways:
                continue
            if self._is_tracked(obj):
                self._look(number, obj)
            else:
                self._pass(number, obj)
        self._start.append(len(self._parts[0]))
        address = array.array("Q", map(id, self._objects))
        rank = words.order(address)
        in_order = words.order(self._words[0])
        where, contents, owner = (array.array("Q", map(each.__getitem__, in_order)) for each in self._words)
        runs, pieces = words.runs(where)
        texts = array.array("Q", itertools.accumulate(map(len, self._texts), initial=0))
        arrays = {
            "runs": runs,
            "pieces": pieces,
            "where": where,
            "words": contents,
            "owner": owner,
            "address": address,
            "rank": rank,
            "parent": self._parent,
            "edge": self._edge,
            "start": self._start,
            "texts": texts,
            "steps": self._parts[0],
            "marks": self._parts[1],
        }
        head = HEAD.pack(*(len(arrays[name]) for name in ARRAYS), texts[-1])
        return [head, *(arrays[name].tobytes() for name in ARRAYS), *self._texts]

    def _way(self, place: Place) -> int:
        """Return the number of a known object; those on the path to it get one, too."""
        steps = [("m", place.module), *place.path]
        found: Any = None
        number = NONE
        for depth, step in enumerate(steps):
            found = nodes.walk(found, step) if depth else sys.modules[place.module]
            if id(found) not in self._numbers:
                self._ways.add(len(self._objects))
                self._add(found, number, self._step(coded(step)))
            number = self._numbers[id(found)]
        return number

    def _is_tracked(self, obj: Any) -> bool:
        if not nodes.is_node(obj):
            return False
        if issubclass(type(obj), type):
            return bool(obj.__flags__ & nodes.HEAP_TYPE) and not obj.__flags__ & _IMMUTABLE_TYPE
        return True

    def _look(self, number: int, obj: Any) -> None:
        if issubclass(type(obj), type) and exclusions.is_skipped(obj.__module__):
            return
        places, contents, owners = self._words
        for place in layouts.places(obj) if layouts.IS_KNOWN else (id(obj) >> 3,):
            places.append(place)
            # Now: what is looked at next gets a dict of its own here, and has none in the process itself.
            contents.append(layouts.MEMORY[place])
            owners.append(number)
        steps, marks = self._parts
        # There are hundreds of thousands of parts, most of them of a kind that leads no further.
        for step, value in itertools.islice(nodes.parts(obj), nodes.MAX_PARTS):
            at = self._steps.get(step) if type(step[1]) is str else None
            if at is None:
                at = self._step(coded(step))
            steps.append(at)
            marks.append(mark(value))
            if type(value) not in nodes.LEAVES and id(value) not in self._numbers:
                self._follow(number, at, step, value)

    def _pass(self, number: int, obj: Any) -> None:
        for step, value in nodes.parts(obj):
            if type(value) not in nodes.LEAVES and id(value) not in self._numbers:
                self._follow(number, self._step(coded(step)), step, value)

    def _follow(self, number: int, at: int, step: Step, value: Any) -> None:
        if not nodes.is_open(value) or id(value) in self._known or type(value) is types.ModuleType:
            return
        kind, key = step
        if (
            kind == nodes.ELEMENT
            or (kind == nodes.ATTRIBUTE and exclusions.is_cache(key))
            or (kind == nodes.CLOSURE and exclusions.is_cache(self._objects[number].__code__.co_freevars[key]))
            or exclusions.is_beyond(value, step)
        ):
            return
        if is_atom(key) or issubclass(type(key), type):  # else a path that goes by this key could not be written down
            self._add(value, number, at)

    def _add(self, obj: Any, parent: int, edge: int) -> None:
        self._numbers[id(obj)] = len(self._objects)
        self._objects.append(obj)
        self._parent.append(parent)
        self._edge.append(edge)

    def _step(self, step: Step) -> int:
        number = self._steps.setdefault(step, len(self._texts))
        if number == len(self._texts):
            self._texts.append(marshal.dumps(step))
        return number


class Twin:
    """A fork of this process, as it is at this moment, that writes down what it holds, and ends.

    known: tables of what it need not look at again, each with what of it is known to be something else now. later:
    those that came after the cell began; None in a process that runs no cell, where all that has changed is looked at.
    beyond: addresses of objects that are none of the modules' own.
    """

    def __init__(
        self, known: Sequence[Known] = (), beyond: Collection[int] = (), later: Sequence[Table] | None = None
    ) -> None:
        self._memfd = posix.memfd_create("baseline", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # An interrupt must not reach a process that is on its way to become the twin.
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            self.pid = posix.fork()
            if self.pid == 0:
                self._write(known, beyond, later)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)

    def _write(self, known: Sequence[Known], beyond: Collection[int], later: Sequence[Table] | None) -> NoReturn:
        """Write all that there is into the memory that is shared with the one who asks."""
        try:
            gc.disable()
            seen = {*beyond, *exclusions.carried_otherwise()}
            for table, _ in known:
                table.shares = True
                seen.update(table.address)
            for table in later or ():
                seen.update(table.present())
            changed = [[*_changed(table, before)] for table, before in known]
            new = _Builder(seen).table(
                ((name, module) for name, module in exclusions.modules() if id(module) not in seen),
                ((place, change) for each in changed for _, place, change in each) if later is None else (),
            )
            text = marshal.dumps([{number: marks(place.obj) for number, place, _ in each} for each in changed])
            with open(self._memfd, "wb", closefd=False) as file:
                file.writelines([len(text).to_bytes(8, "little"), text, bytes(-len(text) % 8), *new])
        except BaseException as error:  # noqa: BLE001  the last frame of this process; there is no memory, for one
            posix.ftruncate(self._memfd, 0)
            why = f"{type(error).__name__}: {error}".removesuffix(": ")
            posix.write(2, f"cellstack: what is changed in modules from here on will not be carried ({why})\n".encode())
        finally:
            posix._exit(0)  # noqa: SLF001

    def answer(self) -> tuple[Table, list[dict[int, Marks]]] | None:
        """Return the table, and what was different already of each of those that it knew; None when it has died."""
        with contextlib.suppress(ChildProcessError):  # the cell's code has told the kernel to bury its children
            posix.waitpid(self.pid, 0)
        size = posix.fstat(self._memfd).st_size
        if not size:
            posix.close(self._memfd)
            return None
        fcntl.fcntl(self._memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        data = mmap.mmap(self._memfd, size, flags=mmap.MAP_PRIVATE)
        posix.close(self._memfd)
        length = int.from_bytes(data[:8], "little")
        changed = marshal.loads(data[8 : 8 + length])  # noqa: S302  from our own fork, which has run no code
        return Table(data, 8 + length + -length % 8), changed


class _Known:
    """The addresses of what there was. beyond: of other objects that count as such."""

    def __init__(self, tables: Sequence[Table], beyond: Collection[int], later: Sequence[Table]) -> None:
        self._tables, self._beyond, self._later = tables, beyond, later

    def __contains__(self, address: object) -> bool:
        assert isinstance(address, int)
        if address in self._beyond or any(table.find(address) is not None for table in self._tables):
            return True
        # An object of a cell's own process may be gone, and another one where it was.
        found = ((table, table.find(address)) for table in self._later)
        return any(number is not None and table.place(number) is not None for table, number in found)


def table_here(names: Iterable[str], tables: Sequence[Table], beyond: Collection[int], later: Sequence[Table]) -> Table:
    """Return the table of a few new modules; made in this process, as that is done before a fork would be.

    tables, beyond, later: what need not be looked at, as for a twin.
    """
    known = _Known(tables, {*beyond, *exclusions.carried_otherwise()}, later)
    modules = ((name, sys.modules[name]) for name in names if exclusions.is_looked_at(name))
    pieces = _Builder(known).table(each for each in modules if id(each[1]) not in known)
    table = Table(bytearray(b"".join(pieces)), 0)
    table.shares = True
    return table


def _changed(table: Table, before: dict[int, Marks]) -> Iterator[tuple[int, Place, Change]]:
    return (each for each in table.changed(before) if each[2].put or each[2].gone)
