"""The Python environment that runs this code: what of it an image takes along, and where it goes there."""

from __future__ import annotations

import ast
import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime.image.tree import NEVER

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Collection, Iterator

VENV = "/opt/venv"
SOURCES = "/opt/src"
USER = "/root/.local"
# Not for notebooks, and half of the standard library's size.
LEFT_OUT = ("test", "tests", "idlelib", "site-packages", "dist-packages", "turtledemo")
_EXTENSIONS = (".py", ".so", ".pyc", ".pth", ".pyi", ".zip")
_METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or file of the host that `.pth` files, editable installs or PYTHONPATH make importable.

    on_path: its folder is an entry of sys.path, so what can be imported from it counts; else it is a package.
    """

    host: str
    image: str
    on_path: bool


@dataclass(frozen=True, slots=True)
class Environment:
    """Host paths on the left, image paths on the right.

    prefix, base: `sys.prefix` and `sys.base_prefix`. executable: the base interpreter. stdlib: its library.
    site: the directories of installed packages, in the order of sys.path. user: the user's own (PEP 370) prefix,
    where packages are installed there. sources: see `Source`. extra_path: what PYTHONPATH names.
    """

    version: str
    prefix: str
    base: str
    executable: str
    stdlib: str
    site: tuple[str, ...]
    user: str | None
    sources: tuple[Source, ...]
    extra_path: tuple[str, ...]

    @property
    def in_venv(self) -> bool:
        """Whether the environment is a virtual one."""
        return self.prefix != self.base

    @property
    def image_base(self) -> str:
        """Where the base interpreter's prefix is in the image."""
        return "/usr" if self.base == "/usr" else "/usr/local"

    @property
    def image_executable(self) -> str:
        """The base interpreter's path in the image."""
        return f"{self.image_base}/bin/python{self.version}"

    @property
    def python(self) -> str:
        """The path of the interpreter that runs cells."""
        return f"{VENV}/bin/python" if self.in_venv else self.image_executable

    def roots(self) -> list[tuple[str, str]]:
        """Return (host, image) of every directory that is mirrored, the longest host paths first."""
        pairs = [(source.host, source.image) for source in self.sources]
        pairs += [(path, self._based(path)) for path in (self.stdlib, *self.site)]
        if self.base != "/usr":
            pairs += [(f"{self.base}/{name}", f"{self.image_base}/{name}") for name in ("bin", "lib")]
        if self.in_venv:
            pairs.append((self.prefix, VENV))
        return sorted(set(pairs), key=lambda pair: (-len(pair[0]), pair))

    def _based(self, path: str) -> str:
        """Return the image's path of one of the interpreter's or the user's directories."""
        homes = [(self.base, self.image_base)]
        if self.in_venv:
            homes.insert(0, (self.prefix, VENV))
        if self.user is not None:
            homes.insert(0, (self.user, USER))
        return next((image + path[len(host) :] for host, image in homes if _inside(path, host)), path)

    def translator(self) -> Callable[[str], str | None]:
        """Return the function from a host path to its path in the image, None for what is not mirrored."""
        roots = self.roots()

        def translate(path: str) -> str | None:
            return next((image + path[len(host) :] for host, image in roots if _inside(path, host)), None)

        return translate

    def sys_path(self) -> list[str]:
        """Return the image's directories that packages are imported from, in order."""
        paths = [*self.extra_path, *self.site]
        paths += [source.host for source in self.sources if source.on_path and source.host not in paths]
        translate = self.translator()
        return [path for path in dict.fromkeys(map(translate, paths)) if path is not None]


def current() -> Environment:
    """Return the environment of this process."""
    prefix, base = sys.prefix, sys.base_prefix
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = sysconfig.get_path("stdlib")
    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else None
    user = site.getuserbase() if user_site and os.path.isdir(user_site) else None
    sites = [path for path in site.getsitepackages() if os.path.isdir(path)]
    if user is not None and user_site is not None:
        sites.insert(0, user_site)
    inner = [prefix, base, *sites]
    # The folder of a kernel is the notebook's, which is in its containers, and changes all the time.
    extra = [
        path
        for path in (os.path.abspath(text) for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text)
        if os.path.isdir(path) and path != os.getcwd() and not _too_wide(path)
    ]
    found = dict.fromkeys((path, True) for path in extra if not any(_inside(path, known) for known in inner))
    for folder in sites:
        found.update(dict.fromkeys(_named_by(folder, inner)))
    return Environment(
        version=version,
        prefix=prefix,
        base=base,
        executable=os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
        stdlib=stdlib,
        site=tuple(sites),
        user=user,
        sources=_numbered(found),
        extra_path=tuple(path for path in extra if (path, True) in found),
    )


def _numbered(found: Collection[tuple[str, bool]]) -> tuple[Source, ...]:
    """Give each path a place in the image. What lies in a folder that is taken whole needs none of its own."""
    whole = {path for path, on_path in found if not on_path}
    sources: list[Source] = []
    for path, on_path in found:
        if any(path != other and _inside(path, other) for other in whole) or (on_path and path in whole):
            continue
        sources.append(Source(path, f"{SOURCES}/{len(sources)}-{os.path.basename(path)}", on_path))
    return tuple(sources)


def _named_by(folder: str, inner: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield (path, is on sys.path) of what the `.pth` files and editable installs of a site directory name."""

    def outside(path: str) -> bool:
        real = os.path.exists(path) and not _too_wide(path)
        return real and not any(_inside(path, known) for known in inner)

    for name in sorted(os.listdir(folder)):
        if name.endswith(".pth"):
            for line in _read(f"{folder}/{name}").splitlines():
                path = os.path.normpath(os.path.join(folder, line.strip()))
                named = line.strip() and not line.startswith(("#", "import ", "import\t"))
                if named and os.path.isdir(path) and outside(path):
                    yield path, True
        elif is_finder(name):
            for path in _strings(_read(f"{folder}/{name}")):
                if outside(path):
                    inner_file = os.path.isfile(path) and os.path.basename(path) == "__init__.py"
                    yield os.path.dirname(path) if inner_file else path, False


def is_finder(name: str) -> bool:
    """Return whether a module of a site directory is what an editable install left there to find its packages."""
    return name.endswith(".py") and (
        name.startswith(("__editable__", "_editable_", "__editables_")) or name.endswith("_editable.py")
    )


def _strings(text: str) -> list[str]:
    """Return the absolute paths among the string constants of a module."""
    try:
        nodes = ast.walk(ast.parse(text))
    except (SyntaxError, ValueError):
        return []
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text.rstrip("/") for text in texts if text.startswith("/") and "\0" not in text and len(text) > 1]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _too_wide(path: str) -> bool:
    """Return whether `path` holds the person's home: it would take everything along."""
    return _inside(os.path.realpath(os.path.expanduser("~")), os.path.realpath(path))


def importable(folder: str, name: str) -> bool:
    """Return whether the entry `name` of a directory on sys.path can be imported, or says what is installed."""
    if name.endswith(_METADATA) or name.endswith(_EXTENSIONS):
        return True
    path = f"{folder}/{name}"
    return name.isidentifier() and os.path.isdir(path) and _has_modules(path, 2)


def _has_modules(folder: str, depth: int) -> bool:
    try:
        entries = list(os.scandir(folder))
    except PermissionError:
        return False
    if any(entry.name.endswith((".py", ".so")) for entry in entries):
        return True
    folders = [entry.path for entry in entries if entry.name.isidentifier() and entry.is_dir()]
    return depth > 0 and any(_has_modules(path, depth - 1) for path in folders)


def left_out(on_path: Collection[str], folder: str, name: str) -> bool:
    """Return whether the entry `name` of a folder of sources is left out.

    on_path: the folders that are entries of sys.path, of which only what can be imported counts.
    """
    if folder in on_path and not importable(folder, name):
        return True
    return "." not in name and os.path.exists(f"{folder}/{name}/pyvenv.cfg")


def stat_pass(
    digest: hashlib._Hash, folder: str, skip: Callable[[str, str], bool] = lambda _folder, _name: False
) -> None:
    """Feed path, size and time of every file below `folder` to `digest`; bytecode follows its source.

    skip(folder, name): leave that entry out.
    """
    pending = [folder]
    while pending:
        path = pending.pop()
        lines = [path]
        try:
            entries = sorted(os.scandir(path), key=_entry_name)
        except (PermissionError, NotADirectoryError, FileNotFoundError):
            entries = []
        for entry in entries:
            name = entry.name
            if name == "__pycache__" or name in NEVER or skip(path, name):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                status = entry.stat(follow_symlinks=False)
                lines.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
        digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))


def _entry_name(entry: os.DirEntry[str]) -> str:
    return entry.name
