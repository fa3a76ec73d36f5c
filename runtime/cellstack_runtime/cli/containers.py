"""Running programs, looking at containers, copying files out of layers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cellstack_runtime.cli.output import ago, as_json, format_option, table
from cellstack_runtime.errors import CellstackError, NotFoundError, UsageError
from cellstack_runtime.limits import Limits
from cellstack_runtime.live import ended_containers, live_containers
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from cellstack_runtime.live import Ended
    from cellstack_runtime.store import Layer
    from cellstack_runtime.workspace import BindMount

RESERVED = ("/dev", "/proc", "/run/cellstack", "/sys")  # besides the root itself
RUN_FAILED = 125  # docker's code for an engine that could not run the container


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--memory", "-m", help="Memory limit, as 512m.")
@click.option("--cpus", help="Number of CPUs, as 1.5.")
@click.option("--pids-limit", "--pids", "pids", help="Most processes and threads.")
@click.option("--timeout", help="Seconds of wall time.")
@click.option("--network", default="none", show_default=True, help="Network: none.")
@click.option("--env", "-e", multiple=True, metavar="NAME[=VALUE]", help="Environment variable, as docker.")
@click.option("--volume", "-v", "--mount", "volumes", multiple=True, metavar="HOST:CTR[:ro]", help="Show a host path.")
@click.option("--workdir", "-w", help="Folder to start in.")
@click.option("--cap-add", multiple=True, help="Add a capability within the container's user namespace.")
@click.option("--cap-drop", multiple=True, help="Drop a capability.")
@click.option("--interactive", "-i", is_flag=True, help="Accepted for docker's users: standard input is passed on.")
@click.option("--rm", is_flag=True, help="Accepted for docker's users: a container of run is always removed.")
@click.argument("image")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    memory: str | None,
    cpus: str | None,
    pids: str | None,
    timeout: str | None,
    network: str,
    env: tuple[str, ...],
    volumes: tuple[str, ...],
    workdir: str | None,
    cap_add: tuple[str, ...],
    cap_drop: tuple[str, ...],
    interactive: bool,  # noqa: ARG001
    rm: bool,  # noqa: ARG001
    image: str,
    args: tuple[str, ...],
) -> None:
    """Run a program in a new container and remove the container; leaves with the program's exit code."""
    from cellstack_runtime.engine import Engine, Spec  # noqa: PLC0415  asyncio and the rest, only here

    given = {"memory": memory, "cpus": cpus, "pids": pids, "timeout": timeout, "network": network}
    try:
        spec = Spec(
            image=image,
            args=args,
            limits=Limits().updated({name: value for name, value in given.items() if value is not None}),
            env=parse_env(env),
            workdir=workdir,
            mounts=[parse_mount(text) for text in volumes],
            cap_add=cap_add,
            cap_drop=cap_drop,
        )
        if spec.limits.network != "none":
            raise UsageError(
                f"network={spec.limits.network} is not in this version", hint="Containers run with network=none"
            )
        report = Engine().run(spec, progress=lambda text: click.echo(text, err=True))
    except CellstackError as error:
        click.echo(f"cellstack: {error}", err=True)
        context.exit(RUN_FAILED)
    if report.exit.reason not in ("finished", "signal", "stop", "kill"):
        click.echo(f"cellstack: {_ending(report.exit.reason, spec.limits)}", err=True)
    context.exit(report.exit_code)


def _ending(reason: str, limits: Limits) -> str:
    from cellstack_runtime.limits import format_size  # noqa: PLC0415

    if reason == "oom":
        return f"the container was killed at its memory limit of {format_size(limits.memory or 0)}"
    if reason == "timeout":
        return f"the container was killed at its time limit of {limits.timeout:g} s"
    if reason == "pids":
        return f"the container failed at its limit of {limits.pids} processes"
    return f"the container was killed ({reason})"


def parse_env(entries: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of "NAME=VALUE" and "NAME" (the host's value, nothing when it has none)."""
    env = {}
    for entry in entries:
        name, given, value = entry.partition("=")
        if not name:
            raise UsageError(f"-e {entry!r} has no name", hint="Write -e NAME=VALUE or -e NAME")
        if given:
            env[name] = value
        elif name in os.environ:
            env[name] = os.environ[name]
    return env


def parse_mount(text: str) -> BindMount:
    """Return the mount of "HOST:CTR[:ro]"; UsageError when it is none or the host path does not exist."""
    from cellstack_runtime.workspace import BindMount  # noqa: PLC0415

    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1].startswith("/") or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise UsageError(f"mount {text!r} is not HOST:CONTAINER[:ro]", hint="The container's path must be absolute")
    source = os.path.abspath(os.path.expanduser(parts[0]))
    if not os.path.exists(source):
        raise NotFoundError(
            f"mount {text!r}: {source} does not exist on the host", hint="Name a file or folder that does"
        )
    target = os.path.normpath(parts[1])
    if any(target == path or target.startswith(f"{path}/") for path in RESERVED) or target.strip("/") == "":
        raise UsageError(f"mount {text!r}: {target} belongs to the container", hint="For example /data")
    return BindMount(source, target, read_only=parts[2:] == ["ro"])


@click.command()
@click.option("--all", "-a", "everything", is_flag=True, help="Also those that wait for a cell or have ended.")
@format_option
def ps(everything: bool, style: str) -> None:
    """List the running containers of all kernels and commands of this store."""
    home = Store.open().home
    found = [one for one in live_containers(home) if everything or one.status != "waiting"]
    ended = ended_containers(home) if everything else []
    if style == "json":
        as_json([*(one.as_json() for one in found), *(one.as_json() for one in ended)])
        return
    stated = [*((one, one.status) for one in found), *((one.container, _exited(one)) for one in ended)]
    rows = [(one.id, one.image[:12], json.dumps(one.command)[:40], ago(one.created), state) for one, state in stated]
    table(("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS"), rows)


def _exited(one: Ended) -> str:
    why = "" if one.reason == "finished" else f", {one.reason}"
    return f"exited ({one.code}{why}) {ago(one.ended)}"


@click.command()
@click.argument("names", nargs=-1, required=True)
def inspect(names: tuple[str, ...]) -> None:
    """Print all that is known of containers, layers or images, as JSON."""
    store = Store.open()
    as_json([_look_up(store, name) for name in names])


def _look_up(store: Store, name: str) -> dict[str, Any]:
    for container in live_containers(store.home):
        if container.id.startswith(name):
            return {"kind": "container", **container.as_json()}
    try:
        return {"kind": "image", **asdict(store.image(name))}
    except NotFoundError:
        pass
    try:
        return {"kind": "layer", **asdict(store.find_layer(name))}
    except NotFoundError:
        raise NotFoundError(
            f"no container, image or layer {name!r}", hint="`cellstack ps`, `images` and `layers` list them"
        ) from None


@click.command()
@click.argument("source")
@click.argument("target")
def cp(source: str, target: str) -> None:
    """Copy a file or folder out of a layer or a notebook's head.

    SOURCE is LAYER:PATH or NOTEBOOK:PATH, TARGET a host path, or - for a file's content on standard output.
    """
    from cellstack_runtime.extract import copy_out, find  # noqa: PLC0415

    where, separator, path = source.rpartition(":")
    if not separator or not path.startswith("/"):
        raise UsageError(
            f"{source!r} is not LAYER:/PATH", hint="Layers are committed once; copying into one is not possible"
        )
    store = Store.open()
    layer = _head_of(store, where)
    if layer.image is None:
        raise UsageError(f"{where!r} is a layer of an image, not of a notebook")
    image = store.image(layer.image)
    if target == "-":
        found, _ = find(store, image, layer.id, path)
        if not found.folders:
            with open(os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            return
        raise UsageError(f"{path} is a folder", hint="Name a host path to copy it to")
    count = copy_out(store, image, layer.id, path, target)
    click.echo(f"{count} file{'' if count == 1 else 's'} copied to {target}", err=True)


def _head_of(store: Store, where: str) -> Layer:
    try:
        return store.find_layer(where)
    except NotFoundError:
        head = store.session(where).head
        if head is None:
            raise NotFoundError(f"the notebook {where!r} has no layer yet") from None
        return store.layer(head)
