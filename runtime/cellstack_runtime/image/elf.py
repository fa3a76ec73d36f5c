"""Which shared libraries programs need, read from their ELF headers without running anything.

Formats: elf(5). Search order: ld.so(8).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 0, 1, 5, 10, 15, 29
MAX_TABLE = 16 << 20


@dataclass(frozen=True, slots=True)
class Elf:
    """What the loader reads of a file. machine: (class, byte order, e_machine)."""

    machine: tuple[int, int, int]
    interpreter: str | None
    needed: tuple[str, ...]
    search: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """A library as the loader asks for it, and where the host has it. beside: found by a path relative to its user."""

    name: str
    path: str
    beside: bool


def read_elf(path: str) -> Elf | None:
    """Return the ELF headers of the file at `path`, None when it is something else or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (PermissionError, FileNotFoundError):
        return None
    try:
        return _parse(fd)
    except (struct.error, UnicodeDecodeError, OverflowError, OSError):
        return None  # damaged, or no ELF after all
    finally:
        os.close(fd)


def _parse(fd: int) -> Elf | None:
    head = os.pread(fd, 64, 0)
    if head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", head, 18)
    if wide:
        (offset,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
        layout, dynamic = struct.Struct(order + "IIQQQQQQ"), struct.Struct(order + "qQ")
    else:
        (offset,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
        layout, dynamic = struct.Struct(order + "IIIIIIII"), struct.Struct(order + "iI")
    table = os.pread(fd, size * count, offset)
    loads: list[tuple[int, int, int]] = []
    interpreter = None
    entries: list[tuple[int, int]] = []
    for index in range(count):
        fields = layout.unpack_from(table, index * size)
        kind = fields[0]
        at, address, length = (fields[2], fields[3], fields[5]) if wide else (fields[1], fields[2], fields[4])
        if kind == PT_LOAD:
            loads.append((address, length, at))
        elif kind == PT_INTERP:
            interpreter = os.pread(fd, min(length, 4096), at).rstrip(b"\0").decode()
        elif kind == PT_DYNAMIC:
            raw = os.pread(fd, min(length, MAX_TABLE), at)
            entries = list(dynamic.iter_unpack(raw[: len(raw) // dynamic.size * dynamic.size]))
    values: dict[int, list[int]] = {}
    for tag, value in entries:
        if tag == DT_NULL:
            break
        values.setdefault(tag, []).append(value)
    names = b""
    if DT_STRTAB in values:
        address = values[DT_STRTAB][0]
        at = next((at + address - start for start, length, at in loads if start <= address < start + length), -1)
        names = os.pread(fd, min(values.get(DT_STRSZ, [0])[0], MAX_TABLE), at) if at >= 0 else b""

    def texts(tag: int) -> list[str]:
        found = [names[at : names.find(b"\0", at)].decode() for at in values.get(tag, ()) if at < len(names)]
        return [text for text in found if text]

    search = [path for text in texts(DT_RUNPATH) or texts(DT_RPATH) for path in text.split(":") if path]
    return Elf((head[4], head[5], machine), interpreter, tuple(texts(DT_NEEDED)), tuple(search))


class Resolver:
    """Finds libraries as the host's loader does, for files of the same machine as `program`."""

    def __init__(self, program: str) -> None:
        elf = read_elf(program)
        self.machine = elf.machine if elf else None
        self.interpreter = elf.interpreter if elf else None
        self._cache = _loader_cache()
        self._environment = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
        self._found: dict[str, str | None] = {}

    def named(self, name: str) -> str | None:
        """Return the path of the library `name` as a program without a search path of its own finds it."""
        if name not in self._found:
            candidates = [f"{folder}/{name}" for folder in self._environment]
            candidates += self._cache.get(name, [])
            candidates += [f"{folder}/{name}" for folder in ("/lib64", "/usr/lib64", "/lib", "/usr/lib")]
            self._found[name] = next((path for path in candidates if self._fits(path)), None)
        return self._found[name]

    def _fits(self, path: str) -> bool:
        elf = read_elf(path)
        return elf is not None and elf.machine == self.machine

    def closure(self, files: Iterable[str]) -> list[Library]:
        """Return the libraries that `files` need, and those that these need, each once.

        What is not found is left out: the host's loader would not find it either, or a library is loaded by one
        that has it already.
        """
        libraries: dict[tuple[str, str], Library] = {}
        pending = list(files)
        seen = set(pending)
        while pending:
            path = pending.pop()
            elf = read_elf(path)
            if elf is None or elf.machine != self.machine:
                continue
            for name in elf.needed:
                library = self._resolve(path, elf, name)
                if library is None:
                    continue
                libraries.setdefault((name, library.path), library)
                if library.path not in seen:
                    seen.add(library.path)
                    pending.append(library.path)
        return list(libraries.values())

    def _resolve(self, user: str, elf: Elf, name: str) -> Library | None:
        if "/" in name:
            return None
        origin = os.path.dirname(os.path.realpath(user))
        for folder in elf.search:
            place = folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
            path = f"{place}/{name}"
            if os.path.exists(path) and self._fits(path):
                return Library(name, path, beside="ORIGIN" in folder)
        found = self.named(name)
        return Library(name, found, beside=False) if found else None


def _loader_cache() -> dict[str, list[str]]:
    """Return name -> paths of the loader's cache, in its order; empty where there is no ldconfig."""
    program = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        return {}
    listing = subprocess.run([program, "-p"], capture_output=True, text=True, check=False)
    cache: dict[str, list[str]] = {}
    for line in listing.stdout.splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow:
            cache.setdefault(name.split(" ", 1)[0], []).append(path)
    return cache
