"""Magics that the host answers. All others go to IPython in the container."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_runtime_dir

from cellstack_kernel import references, views
from cellstack_kernel.widgets import shown
from cellstack_kernel.widgets.models import PARTS as LIVE
from cellstack_runtime.cli.containers import parse_mount
from cellstack_runtime.context import resolve_context
from cellstack_runtime.diff import changes_between
from cellstack_runtime.errors import CellstackError, NotFoundError, UsageError
from cellstack_runtime.extract import copy_out, find, has_hidden
from cellstack_runtime.image.default import REFERENCE
from cellstack_runtime.limits import format_size
from cellstack_runtime.live import live_containers
from cellstack_runtime.store.store import now
from cellstack_runtime.store.tags import split_reference
from cellstack_runtime.store.variables import variables_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cellstack_kernel.notebook import Notebook
    from cellstack_kernel.runs import FrontEnd
    from cellstack_runtime.store import Image
    from cellstack_runtime.workspace import Workspace

    Magic = Callable[[Notebook, list[str], FrontEnd], Awaitable[views.Shown]]

LIMIT_OPTIONS = ("memory", "cpus", "pids", "timeout", "network")
CELL_OPTIONS = ("image", *LIMIT_OPTIONS, "commit")
NOT_YET = ("export",)
LINE = re.compile(r"%(?P<name>[a-z_]+)(?P<help>\?)?(?:\s+(?P<rest>.*))?$")


@dataclass(frozen=True, slots=True)
class Call:
    """One host magic of a cell: its name and arguments, or a question about it (`%layers?`)."""

    name: str
    args: tuple[str, ...] = ()
    about: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """A cell without its host magics. kind: "execute" or "shell". options: those of %%container.

    skipped: how many lines at the top of the cell are not in `code`, so that tracebacks count right.
    """

    calls: tuple[Call, ...]
    code: str
    skipped: int = 0
    kind: str = "execute"
    options: dict[str, str] = field(default_factory=dict)


def parse(code: str) -> Parsed:
    """Take the host magics at the top of a cell out of it; UsageError when one is not well-formed."""
    lines = code.split("\n")
    calls: list[Call] = []
    for index, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or (stripped.startswith("#") and not calls):
            continue
        match = LINE.match(stripped)
        if match is None or match["name"] not in {*_MAGICS, *NOT_YET}:
            break
        if line[0] != "%":
            break
        calls.append(Call(match["name"], tuple(_split(match["rest"] or "")), about=bool(match["help"])))
        lines[index] = ""
    options = {}
    first = _first(lines)
    if first is not None and re.match(r"%%container\b", lines[first]):
        options = _options_of_container(lines[first])
        lines[first] = ""
        first = _first(lines)
    if first is not None and re.match(r"%%build\b", lines[first]):
        raise UsageError("%%build is not in this version", hint="Images come from this environment: %images")
    kind = "execute"
    if first is not None and re.match(r"%%sh\s*$", lines[first]):
        kind = "shell"
        lines[first] = ""
        first = _first(lines)
    elif lines == code.split("\n"):
        return Parsed((), code)
    skipped = first or 0
    return Parsed(tuple(calls), "\n".join(lines[skipped:]), skipped, kind, options)


def _first(lines: list[str]) -> int | None:
    """Return which line is the first that is not empty."""
    return next((index for index, line in enumerate(lines) if line.strip()), None)


def _options_of_container(line: str) -> dict[str, str]:
    options = _options("%%container", _split(line[len("%%container") :]), CELL_OPTIONS)
    if options.get("commit", "yes") not in ("yes", "no"):
        raise UsageError(f"commit={options['commit']} is neither yes nor no")
    if "image" in options:
        raise UsageError(
            "%%container image= is not in this version", hint="%image REF chooses the image of the following cells"
        )
    return options


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(f"{text.strip()!r} cannot be split into words: {error}") from None


def _options(magic: str, args: list[str] | tuple[str, ...], known: tuple[str, ...]) -> dict[str, str]:
    """Return name=value arguments; UsageError lists the valid names."""
    options = {}
    for arg in args:
        name, given, value = arg.partition("=")
        if name not in known or not given:
            raise UsageError(f"{magic} does not know {arg!r}", hint=f"Options are: {', '.join(f'{n}=' for n in known)}")
        options[name] = value
    return options


async def call(notebook: Notebook, magic: Call, front: FrontEnd, *, live: bool = True) -> None:
    """Do what a host magic says and show what there is to see; live: in a view that moves, if there is one."""
    if magic.name in NOT_YET:
        raise UsageError(f"%{magic.name} is not in this version")
    function, usage = _MAGICS[magic.name]
    if magic.about:
        text, html = views.sentence(f"{usage}: {(function.__doc__ or '').splitlines()[0]}")
    else:
        await notebook.workspace.settled()
        text, html = await function(notebook, list(magic.args), front)
    data: dict[str, Any] = {"text/plain": text, "text/html": html}
    if live and magic.name in LIVE and not magic.about and notebook.feed is not None:
        data |= await notebook.feed.show(magic.name, front)
    front.publish("display_data", {"data": data, "metadata": {}, "transient": {}})


async def _release(notebook: Notebook, front: FrontEnd) -> None:
    """End a container that cells share, before head moves or another one is necessary, and say so."""
    ended = await notebook.executor.release(front)
    if ended:
        front.publish("stream", {"name": "stderr", "text": f"{ended}\n"})


def _none(magic: str, args: list[str]) -> None:
    if args:
        raise UsageError(f"%{magic} takes no argument, not {args[0]!r}")


def _at_most(magic: str, args: list[str], most: int) -> None:
    if len(args) > most:
        raise UsageError(f"%{magic} takes at most {most} argument{'' if most == 1 else 's'}: {_MAGICS[magic][1]}")


async def _layers(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show the layers of this notebook, with what each changed."""
    _none("layers", args)
    return await shown.layers(notebook)


async def _diff(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show the files and variables that were added (A), changed (C) and deleted (D) from A (the image) to B (head).

    A and B may stand on different branches: what is shown is B, as it differs from A.
    """
    _at_most("diff", args, 2)
    workspace = notebook.workspace
    store = workspace.store
    first, last = (references.resolve(workspace, ref) for ref in (*args, *(references.IMAGE, "head")[len(args) :]))
    image = _image_below(workspace, last if last is not None else first)
    changes = await asyncio.to_thread(changes_between, store, image, first, last)
    variables = await asyncio.to_thread(_changed_variables, workspace, first, last)
    return views.stacked(views.changed_files(changes), variables)


def _image_below(workspace: Workspace, layer: str | None) -> Image:
    """Return the image that a layer stands on; that of the following cells for None."""
    standing = workspace.store.layer(layer).image if layer is not None else None
    return workspace.store.image(standing) if standing is not None else workspace.image


def _changed_variables(workspace: Workspace, first: str | None, last: str | None) -> views.Shown:
    try:
        before, after = (variables_of(workspace.store, workspace.session, layer) for layer in (first, last))
    except CellstackError as error:  # a cell may have damaged them, and its files are to be seen all the same
        return views.sentence(str(error))
    return views.changed_variables(before, after)


async def _checkout(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Make a layer the head: files and variables are as they were after that cell."""
    if len(args) != 1:
        raise UsageError("%checkout takes one layer: an id, a cell number, a tag, head~2 or image")
    layer = references.resolve(notebook.workspace, args[0])
    await _release(notebook, front)
    return _move(notebook, layer)


async def _undo(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Go back N cells (one): files and variables are as they were before them."""
    _at_most("undo", args, 1)
    if args and not args[0].isdecimal():
        raise UsageError(f"%undo takes a number of cells, not {args[0]!r}")
    await _release(notebook, front)
    return _move(notebook, references.back(notebook.workspace, int(args[0]) if args else 1))


def _move(notebook: Notebook, layer: str | None) -> views.Shown:
    workspace = notebook.workspace
    workspace.move_head(layer)
    if layer is None:
        return views.sentence("head is the image: no cell has run on it.")
    number = workspace.store.layer(layer).cell.get("number")
    made = f"the result of cell [{number}]" if number else "what widgets had changed then"
    return views.sentence(f"head is {layer[:12]}, {made}.")


async def _tag(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Make head, or the layer REF, an image of the store, with a name; head stays where it is."""
    if not args:
        raise UsageError(f"%tag takes a name: {_MAGICS['tag'][1]}")
    _at_most("tag", args, 2)
    if len(args) == 2:
        layer = references.resolve(notebook.workspace, args[1])
    else:
        await _release(notebook, front)
        layer = notebook.workspace.head
    return views.sentence(tag_layer(notebook, args[0], layer))


def check_tag(name: str) -> None:
    """UsageError for a name that is none, or that would not be found, or not for long."""
    if references.is_taken(name):
        raise UsageError(f"{name} names a layer: `head`, `image` and numbers do", hint="Take another name")
    if ":".join(split_reference(name)) == REFERENCE:
        raise UsageError(f"{REFERENCE} is made of the environment, anew when that changes", hint="Take another name")


def tag_layer(notebook: Notebook, name: str, layer: str | None) -> str:
    """Give a layer, None for the image, a name among the images; return what was done in one sentence.

    UsageError as by `check_tag`.
    """
    check_tag(name)
    store = notebook.workspace.store
    chain = store.chain(layer) if layer is not None else []
    below = _image_below(notebook.workspace, layer)
    image = store.put_image((*below.layers, *(one.id for one in chain)), below.config, now())
    store.tag(image.id, name)
    return f"{name} is the image {image.id[:12]} of {len(image.layers)} layers."


async def _limits(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Show or change the limits of the following cells."""
    workspace = notebook.workspace
    if args:
        wanted = workspace.limits.updated(_options("%limits", args, LIMIT_OPTIONS))
        await notebook.check_limits(wanted, front)
        await _release(notebook, front)
        await workspace.configure(limits=wanted)
    return views.limits(workspace.limits)


async def _container(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Say what a container is made for: scope=cell, a new one for each; scope=notebook, one for the following cells."""
    options = _options("%container", args, ("scope",))
    executor, image = notebook.executor, notebook.workspace.image.id[:12]
    scope = options.get("scope")
    if scope not in (None, "cell", "notebook"):
        raise UsageError(f"scope={scope} is neither cell nor notebook")
    if scope is not None:
        executor.keeps = scope == "notebook"
        await _release(notebook, front)
    if not executor.keeps:
        return views.sentence(f"Every cell runs in a container of its own, from the image {image}.")
    ends = "They become one layer when it ends: %container scope=cell."
    if executor.kept is None:
        return views.sentence(f"The following cells run in one container, from the image {image}. {ends}")
    shared = executor.kept
    return views.sentence(f"The cells since [{shared.first}] run in one container, {shared.container.id}. {ends}")


async def _image(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Show or choose the image of the following cells."""
    _at_most("image", args, 1)
    workspace = notebook.workspace
    if args:
        await workspace.find_image(args[0])
        await _release(notebook, front)
        await workspace.configure(image=args[0])
    image = workspace.image
    return views.sentence(f"Image {image.id[:12]}: {len(image.layers)} layers, {format_size(image.size)}.")


async def _images(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """List the images of the store."""
    _none("images", args)
    rows = [
        (", ".join(tags) or "<none>", image.id[:12], str(len(image.layers)), format_size(image.size))
        for tags, image in notebook.workspace.store.images()
    ]
    return views.table(("NAME", "IMAGE ID", "LAYERS", "SIZE"), rows)


async def _namespaces(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show the eight namespaces of the last cell beside the host's, and what each isolates."""
    _none("namespaces", args)
    return await shown.namespaces(notebook)


async def _cgroup(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show what the last cell used, its limits, and who held them."""
    _none("cgroup", args)
    return await shown.cgroup(notebook)


async def _dashboard(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show layers, limits, and what the last cell ran in and used, and what a cell uses while it runs."""
    _none("dashboard", args)
    return await shown.dashboard(notebook)


async def _containers(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """List the containers of all kernels and commands of this store."""
    _none("containers", args)
    rows = [
        (one.id, one.session, one.status, " ".join(one.command)[:50])
        for one in live_containers(notebook.workspace.store.home)
    ]
    return views.table(("CONTAINER ID", "SESSION", "STATUS", "COMMAND"), rows)


async def _state(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Show head's variables: type, size as saved, the cell that made each, and those that it shares objects with.

    What could not be carried is shown too, with the reason.
    """
    workspace = notebook.workspace
    found = await asyncio.to_thread(variables_of, workspace.store, workspace.session, workspace.head)
    unknown = [name for name in args if name not in found.saved and name not in found.not_carried]
    if unknown:
        raise NotFoundError(f"head has no variable {', '.join(map(repr, unknown))}", hint="%state shows all there are")
    chain = workspace.store.chain(workspace.head) if workspace.head else []
    return views.variables(found, {layer.id: f"[{layer.cell.get('number', '?')}]" for layer in chain}, only=args)


async def _cp(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Copy a file or folder of head out to the host; both paths may be relative to the notebook's folder.

    A new file in that folder takes no grant; what is hidden, there already, or elsewhere does: the notebook's code
    could change what the person runs.
    """
    if len(args) != 2:
        raise UsageError("%cp takes two paths: %cp PATH HOSTPATH")
    source = args[0] if args[0].startswith("/") else f"/work/{args[0]}"
    folder = notebook.folder or os.getcwd()
    target = os.path.realpath(os.path.join(folder, os.path.expanduser(args[1])))
    workspace = notebook.workspace
    found, name = find(workspace.store, workspace.image, workspace.head, source)
    if has_hidden(found) or not _is_new_below(os.path.realpath(folder), target, name):
        await notebook.grants.require(f"copy:{target}", f"--copy-out {source}:{target}", front)
    count = copy_out(workspace.store, workspace.image, workspace.head, source, target)
    return views.sentence(f"{count} file{'' if count == 1 else 's'} copied to {target}.")


def _is_new_below(folder: str, target: str, name: str) -> bool:
    """Whether copying to `target` adds something to `folder` that is neither hidden nor there already."""
    if os.path.isdir(target):
        target = f"{target}/{name}"
    if not target.startswith(folder.rstrip("/") + "/") or os.path.lexists(target):
        return False
    return not any(part.startswith(".") for part in target[len(folder) :].split("/"))


async def _context(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Show or choose how /work sees the notebook's folder: ro, rw (a grant) or none."""
    _at_most("context", args, 1)
    workspace = notebook.workspace
    if args:
        folder = notebook.folder or os.getcwd()
        wanted = resolve_context(folder, args[0], store=workspace.store.home)
        if wanted.mode == "rw":
            await notebook.grants.require("context:rw", "--context rw", front)
        await _release(notebook, front)
        await workspace.configure(context=wanted)
    context = workspace.context
    note = f" ({context.note})" if context.note else ""
    return views.sentence(f"/work shows {context.folder or 'no folder of the host'}, mode {context.mode}{note}.")


async def _grants(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """List what the person has granted to this notebook."""
    _none("grants", args)
    granted = notebook.grants.granted
    return (
        views.table(("GRANTED",), [(what,) for what in granted]) if granted else views.sentence("Nothing is granted.")
    )


async def _mount(notebook: Notebook, args: list[str], front: FrontEnd) -> views.Shown:
    """Ask for a host path in the containers of the following cells: HOST:CONTAINER[:ro]."""
    if len(args) != 1:
        raise UsageError("%mount takes one HOST:CONTAINER[:ro]")
    mount = parse_mount(args[0])
    await notebook.grants.require(f"mount:{args[0]}", f"--mount {args[0]}", front)
    await _release(notebook, front)
    workspace = notebook.workspace
    kept = [other for other in workspace.mounts if other.target != mount.target]
    await workspace.configure(mounts=[*kept, mount])
    return views.sentence(f"{mount.target} shows {mount.source}{' (read-only)' if mount.read_only else ''}.")


async def _connect_info(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Say how other clients, as `jupyter console`, connect to this kernel."""
    _none("connect_info", args)
    if notebook.connection is None:
        raise UsageError("no kernel runs this notebook, so that nothing can connect to it")
    connection = json.loads(await asyncio.to_thread(Path(notebook.connection).read_bytes))
    connection.pop("key", None)
    folder, name = os.path.split(notebook.connection)
    return views.lines(
        json.dumps(connection, indent=2),
        "The key is left out: it would be saved with the notebook, which its cells can read. To connect:",
        f"    jupyter console --existing {name if folder == jupyter_runtime_dir() else notebook.connection}",
    )


async def _cache(notebook: Notebook, args: list[str], _front: FrontEnd) -> views.Shown:
    """Take cells that have run before on the same layer, files and settings from the cache, or say how it stands."""
    _at_most("cache", args, 1)
    cache = notebook.cache
    if args and args[0] not in ("on", "off", "status"):
        raise UsageError(f"%cache takes on, off or status, not {args[0]!r}")
    if args and args[0] != "status":
        cache.on = args[0] == "on"
    count, size = cache.size()
    return views.sentence(
        f"The cache is {'on' if cache.on else 'off'}: {cache.hits} cells of this run were taken from it and "
        f"{cache.misses} were not; {count} are kept, {format_size(size)} of outputs."
    )


_MAGICS: dict[str, tuple[Magic, str]] = {
    "layers": (_layers, "%layers"),
    "diff": (_diff, "%diff [A [B]]"),
    "checkout": (_checkout, "%checkout REF"),
    "undo": (_undo, "%undo [N]"),
    "tag": (_tag, "%tag NAME[:TAG] [REF]"),
    "limits": (_limits, "%limits [memory=512m cpus=1 pids=256 timeout=60 network=none]"),
    "container": (_container, "%container [scope=cell|notebook]"),
    "image": (_image, "%image [REF]"),
    "images": (_images, "%images"),
    "namespaces": (_namespaces, "%namespaces"),
    "cgroup": (_cgroup, "%cgroup"),
    "dashboard": (_dashboard, "%dashboard"),
    "containers": (_containers, "%containers"),
    "state": (_state, "%state [NAME…]"),
    "cache": (_cache, "%cache [on|off|status]"),
    "cp": (_cp, "%cp PATH HOSTPATH"),
    "context": (_context, "%context [ro|rw|none]"),
    "grants": (_grants, "%grants"),
    "connect_info": (_connect_info, "%connect_info"),
    "mount": (_mount, "%mount HOST:CONTAINER[:ro]"),
}
