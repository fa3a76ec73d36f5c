"""The default image's layers: the interpreter with a userland, the installed packages, editable sources."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime.image import userland
from cellstack_runtime.image.bytecode import compile_missing
from cellstack_runtime.image.elf import Resolver
from cellstack_runtime.image.environment import LEFT_OUT, VENV, is_finder, left_out
from cellstack_runtime.image.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cellstack_runtime.image.environment import Environment

_INTERPRETER = re.compile(r"python(\d+(\.\d+)?)?")
_OTHER_PYTHON = re.compile(r"python\d+(\.\d+)?|pkgconfig|cmake|.*\.l?a")
_MAX_SCRIPT = 1 << 20


@dataclass(frozen=True, slots=True)
class Built:
    """A layer's directory that has been filled. watch: single files of the host that it was made of."""

    root: str
    files: int
    bytes: int
    watch: tuple[str, ...]


def build_base(environment: Environment, root: str) -> Built:
    """Fill `root` with the interpreter, its library, the userland, and the shared libraries that these need."""
    tree = Tree(root, environment.translator())
    userland.add_directories(tree)
    python = environment.image_executable
    tree.file(environment.executable, python)
    for name in ("python3", "python"):
        tree.link(f"{os.path.dirname(python)}/{name}", os.path.basename(python))
    if environment.base != "/usr":
        tree.mirror(
            f"{environment.base}/lib",
            f"{environment.image_base}/lib",
            skip=base_filter(environment),
        )
    stdlib = environment.stdlib
    tree.mirror(stdlib, tree.translate(stdlib) or stdlib, skip=lambda folder, name: _not_needed(stdlib, folder, name))
    tools = userland.add_tools(tree)
    userland.add_settings(tree)
    resolver = Resolver(environment.executable)
    named = [path for path in map(resolver.named, userland.LIBRARIES) if path is not None]
    folder = _library_folder(resolver)
    for path in named:
        tree.file(path, f"{folder}/{os.path.basename(path)}")
    used = _add_libraries(tree, resolver, [environment.executable, *tools, *named, *tree.libraries], below=None)
    watch = [environment.executable, *tools, *named, *used, *userland.watched_settings()]
    if resolver.interpreter is not None:
        tree.file(resolver.interpreter, resolver.interpreter)
        watch.append(resolver.interpreter)
    compile_missing(tree.root)
    return Built(root, tree.files, tree.bytes, tuple(sorted(set(watch))))


def build_packages(environment: Environment, root: str, base: str, store: str) -> Built:
    """Fill `root` with the installed packages and their scripts, on top of the base layer in directory `base`."""
    tree = Tree(root, environment.translator())
    scripts: list[str] = []
    if environment.in_venv:
        _mirror_venv(environment, tree, store)
        scripts += _files(f"{environment.prefix}/bin")
    else:
        # Debian keeps what pip installs, and its scripts, in /usr/local.
        prefix = "/usr/local" if environment.base == "/usr" else environment.base
        _add_scripts(environment, tree, f"{prefix}/bin", "/usr/local/bin")
    if environment.user is not None:
        _add_scripts(environment, tree, f"{environment.user}/bin", "/root/.local/bin")
    for site in environment.site:
        if not (environment.in_venv and site.startswith(environment.prefix + "/")):
            tree.mirror(site, tree.translate(site) or site, rewrite=_rewriter(environment))
    resolver = Resolver(environment.executable)
    used = _add_libraries(tree, resolver, [*tree.libraries, *scripts], below=base)
    compile_missing(tree.root)
    return Built(root, tree.files, tree.bytes, tuple(used))


def build_sources(environment: Environment, root: str, store: str) -> Built:
    """Fill `root` with copies of what editable installs and `.pth` files name."""
    tree = Tree(root, environment.translator())
    for source in environment.sources:
        if os.path.isdir(source.host):
            tree.mirror(source.host, source.image, copy=True, skip=source_filter(environment, store))
        else:
            tree.file(source.host, source.image, copy=True)
    compile_missing(tree.root)
    return Built(root, tree.files, tree.bytes, ())


def base_filter(environment: Environment) -> Callable[[str, str], bool]:
    """Return the `skip` for the `lib` of a base prefix that is not the system's: all but what only builds need."""
    top = f"{environment.base}/lib"
    return lambda folder, name: folder == top and _OTHER_PYTHON.fullmatch(name) is not None


def source_filter(environment: Environment, store: str) -> Callable[[str, str], bool]:
    """Return the `skip` for the folders of sources."""
    on_path = {source.host for source in environment.sources if source.on_path}
    return lambda folder, name: f"{folder}/{name}" == store or left_out(on_path, folder, name)


def _not_needed(stdlib: str, folder: str, name: str) -> bool:
    if name.endswith((".opt-1.pyc", ".opt-2.pyc")):
        return True
    # config-* holds what linking against the interpreter takes.
    return name == "tests" or (folder == stdlib and (name in LEFT_OUT or name.startswith("config-")))


def _mirror_venv(environment: Environment, tree: Tree, store: str) -> None:
    prefix = environment.prefix
    own = {f"{prefix}/pyvenv.cfg", store, *(f"{prefix}/{folder}" for folder in (".lock", ".gitignore"))}

    def skip(folder: str, name: str) -> bool:
        interpreter = folder == f"{prefix}/bin" and _INTERPRETER.fullmatch(name)
        return bool(interpreter) or f"{folder}/{name}" in own

    tree.mirror(prefix, VENV, skip=skip, rewrite=_rewriter(environment))
    tree.link(f"{VENV}/bin/python", environment.image_executable)
    for name in ("python3", f"python{environment.version}"):
        tree.link(f"{VENV}/bin/{name}", "python")
    system = len(environment.site) > 1 and any(not site.startswith(prefix + "/") for site in environment.site)
    tree.text(
        f"{VENV}/pyvenv.cfg",
        f"home = {environment.image_base}/bin\n"
        f"include-system-site-packages = {'true' if system else 'false'}\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n",
    )


def _files(folder: str) -> list[str]:
    return [entry.path for entry in os.scandir(folder) if entry.is_file()] if os.path.isdir(folder) else []


def _add_scripts(environment: Environment, tree: Tree, folder: str, target: str) -> None:
    """Take the scripts of `folder` that a Python runs."""
    rewrite = _rewriter(environment)
    for path in _files(folder):
        with open(path, "rb") as file:
            start = file.read(256)
        if start.startswith(b"#!") and b"python" in start.split(b"\n", 1)[0]:
            name = os.path.basename(path)
            content = rewrite(folder, name)
            if content is None:
                tree.file(path, f"{target}/{name}")
            else:
                tree.text(f"{target}/{name}", content, 0o755)


def _rewriter(environment: Environment) -> Callable[[str, str], bytes | None]:
    """Return the `rewrite` for files that name places of the host: scripts, `.pth`, editable installs' finders."""
    roots = [*environment.roots()]
    if environment.base != "/usr":
        roots.append((environment.base, environment.image_base))
    pairs = {os.fsencode(host): os.fsencode(image) for host, image in roots if host != image}
    longest = sorted(pairs, key=len, reverse=True)
    if not longest:
        return lambda _folder, _name: None
    pattern = re.compile(b"(" + b"|".join(map(re.escape, longest)) + rb")(?![\w.+-])")
    translate = environment.translator()
    sites, scripts = set(environment.site), {f"{environment.prefix}/bin", f"{environment.user}/bin", "/usr/local/bin"}

    def rewrite(folder: str, name: str) -> bytes | None:
        is_script = folder in scripts
        if not (is_script or name == "direct_url.json" or (folder in sites and _names_places(name))):
            return None
        path = f"{folder}/{name}"
        if os.path.getsize(path) > _MAX_SCRIPT:
            return None
        with open(path, "rb") as file:
            content = file.read()
        if is_script and b"\0" in content[:1024]:
            return None
        if name.endswith(".pth"):
            content = b"\n".join(_pth_line(line, folder, translate) for line in content.split(b"\n"))
        changed = pattern.sub(lambda match: pairs[match[1]], content)
        return changed if changed != content or name.endswith(".pth") else None

    return rewrite


def _names_places(name: str) -> bool:
    return name.endswith((".pth", ".egg-link")) or is_finder(name)


def _pth_line(line: bytes, folder: str, translate: Callable[[str], str | None]) -> bytes:
    """Return a line of a `.pth` file with a path relative to its folder made the image's."""
    text = os.fsdecode(line.strip())
    if not text or text.startswith(("#", "import ", "import\t", "/")):
        return line
    path = os.path.normpath(os.path.join(folder, text))
    target = translate(path) if os.path.exists(path) else None
    beside = translate(folder)
    if target is None or (beside is not None and target.startswith(beside + "/")):
        return line
    return os.fsencode(target)


def _library_folder(resolver: Resolver) -> str:
    """Return the directory of the image in which the loader looks without being told: that of the C library."""
    folder = os.path.dirname(resolver.named("libc.so.6") or "/usr/lib/libc.so")
    return f"/usr{folder}" if re.match(r"/lib\w*(/|$)", folder) else folder


def _add_libraries(tree: Tree, resolver: Resolver, files: Iterable[str], *, below: str | None) -> list[str]:
    """Add the libraries that `files` need and that neither `tree` nor the layer in `below` has.

    Returns the host paths of those that come from outside the mirrored directories.
    """
    folder = _library_folder(resolver)
    used = []
    for library in resolver.closure(files):
        inside = tree.translate(library.path)
        path = f"{folder}/{library.name}"
        if inside is not None:
            if not library.beside and os.path.dirname(inside) != folder:
                tree.link(path, inside)
            continue
        used.append(library.path)
        if below is None or not os.path.lexists(f"{below}{path}"):
            tree.file(library.path, path)
    return used
