"""Reading components of a saved state back into this process."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable
from os import pread  # in whose place a cell may put another function
from typing import TYPE_CHECKING, Any

from cellstack_guest import definitions, dirty, pickling, texts
from cellstack_guest.manifest import PICKLES, decode
from cellstack_guest.recompiled import LastVersions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cellstack_guest.definitions import Registry
    from cellstack_guest.manifest import Buffer, Extent, Manifest, Record


Bind = Callable[[str, dict[str, Any]], None]


class LoadError(Exception):
    """A component cannot be loaded; the message says why."""


class Loader:
    """Loads components of one manifest into one registry, each at most once.

    bind: called with a component's id and values as soon as they are there, before anything that may use them.
    """

    def __init__(self, state: Manifest, state_root: str, registry: Registry, bind: Bind) -> None:
        self.manifest = state
        self.components = state["components"]
        self.owners = self.components.owners
        self.registry = registry
        self.broken: dict[str, str] = {}
        self.mapped = MappedBuffers()
        self._lists: dict[str, list[Any]] = {}  # what lists of atoms held when they were loaded
        self._root = state_root
        self._bind = bind
        self._started: set[str] = set()
        self._last_versions = LastVersions(registry.note)
        self._records: dict[str, Record] = {}
        registry.load_class = self.skeleton

    def load(self, component: str) -> None:
        """Load a component, with the classes it needs and the globals that its functions use.

        Raises LoadError. A component that failed once fails again without another attempt.
        """
        if component in self.broken:
            raise LoadError(self.broken[component])
        if component in self._started:
            return
        self._started.add(component)
        needs = self.components.needs.get(component, ())
        try:
            for needed in needs:
                self.skeleton(needed)
            for needed in needs:
                self._load_class(needed)
            text, data = self._read_spans(_file_of(component), self.components.spans(component))
            record = self._records[component] = decode(text.decode())
            # Loading an instance may call its class's methods, and these their globals.
            for name in record["reach"] or ():
                owner = self.owners.get(name)
                if owner is not None and owner not in self.broken:
                    with contextlib.suppress(LoadError):  # remembered in `broken`; told when that name is used
                        self.load(owner)
            views = [self.map(buffer) for buffer in record["buffers"]]
            with self._last_versions:
                values = pickling.load(data, self.registry, views)
            if record.get("flat"):
                self._lists[component] = [*next(iter(values.values()))]
        except Exception as error:
            reason = str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"
            self.broken[component] = reason
            raise LoadError(reason) from error
        self._bind(component, {key: value for key, value in values.items() if self.owners.get(key) == component})

    def is_intact(self, component: str, values: dict[str, Any]) -> bool:
        """Tell whether a loaded component is a list of atoms that still holds the very same ones."""
        before = self._lists.get(component)
        now = next(iter(values.values()), None)
        return before is not None and type(now) is list and len(values) == 1 and texts.holds_the_same(now, before)

    def record(self, component: str) -> Record:
        """Return what is written down of a component. LoadError when it cannot be read."""
        if component not in self._records:
            (text,) = self._read_spans(_file_of(component), self.components.spans(component)[:1])
            self._records[component] = decode(text.decode())
        return self._records[component]

    def _load_class(self, definition: str) -> None:
        """Load the attributes of a class, those of its bases first."""
        record = self.manifest["definitions"][definition]
        for base in record["bases"]:
            self._load_class(base)
        self.load(record["component"])

    def continued(self, state: Manifest, loaded: Iterable[str]) -> Loader:
        """Return a loader for a later state of the same process, in which `loaded` are there already."""
        loader = Loader(state, self._root, self.registry, self._bind)
        loader.mapped = self.mapped
        loader._lists = self._lists
        loader.broken = {name: why for name, why in self.broken.items() if name in state["components"].texts}
        loader._started = {*loaded, *loader.broken}
        return loader

    def elsewhere(self, registry: Registry, bind: Bind) -> Loader:
        """Return a loader of the same state into another registry, with everything new."""
        return Loader(self.manifest, self._root, registry, bind)

    def read(self, extent: Extent) -> bytes:
        """Return the bytes of an extent. LoadError when they are not there."""
        file, offset, size = extent
        (data,) = self._read_spans(file, [(offset, size)])
        return data

    def _read_spans(self, file: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            with open(f"{self._root}/{file}", "rb", buffering=0) as source:
                return [_pread(source.fileno(), size, offset, file) for offset, size in spans]
        except OSError as error:
            raise LoadError(f"{type(error).__name__}: {error}") from error

    def map(self, buffer: Buffer, *, remember: bool = True) -> memoryview:
        """Return a buffer's memory, mapped copy-on-write with its patch applied.

        remember: whether the saver is to recognise it, as memory of the notebook's.
        """
        mapping, view = self._mapped(buffer["at"])
        if "patch" in buffer:
            data = self.read(buffer["patch"])
            for (start, end), (position, stop) in patch_spans(buffer["pages"], buffer["at"][2]):
                view[start:end] = data[position:stop]
        if remember:
            self.mapped.add(mapping, buffer)
        return view

    def _mapped(self, extent: Extent) -> tuple[dirty.Mapping, memoryview]:
        file, offset, size = extent
        try:
            return dirty.map_file(f"{self._root}/{file}", offset, size)
        except OSError as error:
            raise LoadError(f"{type(error).__name__}: {error}") from error

    def skeleton(self, definition: str) -> type:
        """Return a class of this state, empty when it was not there yet."""
        found = self.registry.classes.get(definition)
        if found is None:
            record = self.manifest["definitions"][definition]
            for base in record["bases"]:
                self.skeleton(base)
            (arguments,) = pickling.load(self.read(record["skeleton"]), self.registry).values()
            found = self.registry.classes.get(definition)  # an import on the way may have wanted it, too
        if found is None:
            with self.registry:
                found = definitions.make_skeleton(*arguments)
            self.registry.register(definition, found)
        return found


def _file_of(component: str) -> str:
    return f"{component.partition('/')[0]}/{PICKLES}"


def _pread(fd: int, size: int, offset: int, file: str) -> bytes:
    data = pread(fd, size, offset)
    while len(data) < size and (more := pread(fd, size - len(data), offset + len(data))):
        data += more
    if len(data) != size:
        raise LoadError(f"{file} has {len(data)} of the {size} bytes that were written")
    return data


class MappedBuffers:
    """Which addresses of this process are copies-on-write of which saved buffers."""

    def __init__(self) -> None:
        self._addresses: list[int] = []
        self._entries: dict[int, tuple[dirty.Mapping, Buffer]] = {}

    def add(self, mapping: dirty.Mapping, buffer: Buffer) -> None:
        """Remember that `mapping` was made of `buffer`."""
        if mapping.address not in self._entries:
            bisect.insort(self._addresses, mapping.address)
        self._entries[mapping.address] = (mapping, buffer)

    def find(self, address: int, size: int) -> tuple[dirty.Mapping, Buffer] | None:
        """Return the mapping that is exactly this memory."""
        entry = self._entries.get(address)
        return entry if entry is not None and entry[0].size == size and entry[0].alive else None


def patch_spans(pages: Sequence[Sequence[int]], size: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return, for ranges of pages, (start, end) in the memory of `size` bytes and in the patch."""
    spans = []
    position = 0
    for first, count in pages:
        start, end = first * dirty.PAGE, min((first + count) * dirty.PAGE, size)
        spans.append(((start, end), (position, position + end - start)))
        position += end - start
    return spans
