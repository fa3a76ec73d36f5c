"""What this host allows, and what is installed."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version as installed
from typing import Any

import click

from cellstack_runtime.cli.output import as_json, format_option, table
from cellstack_runtime.errors import EXIT_HOST


@click.command()
@format_option
@click.pass_context
def doctor(context: click.Context, style: str) -> None:
    """Say what this host allows, why not, and what to do."""
    from cellstack_runtime import probe  # noqa: PLC0415  other verbs need no probing

    report = probe.probe()
    if style == "json":
        as_json(report.as_json())
    else:
        click.echo(probe.render(report))
    if not report.ok:
        context.exit(EXIT_HOST)


@click.command()
@format_option
def version(style: str) -> None:
    """Show the versions of client and engine."""
    facts = {
        "Client": {"Version": installed("cellstack"), "Python": platform.python_version(), "Os/Arch": _platform()},
        "Server": {"Engine": {"Version": installed("cellstack")}, "Kernel": platform.release()},
    }
    if style == "json":
        as_json(facts)
        return
    click.echo(f"Client: Cellstack\n Version:    {installed('cellstack')}\n Python:     {platform.python_version()}")
    click.echo(
        f" OS/Arch:    {_platform()}\n\nServer: in process, no daemon\n Engine:\n  Version:   {installed('cellstack')}"
    )
    click.echo(f"  Kernel:    {platform.release()}")


def _platform() -> str:
    return f"{platform.system().lower()}/{platform.machine()}"


@click.command()
@format_option
def info(style: str) -> None:
    """Show the engine: its store and what is in it, cgroups, who it runs as."""
    from cellstack_runtime import cgroups, idmap  # noqa: PLC0415
    from cellstack_runtime.live import live_containers  # noqa: PLC0415
    from cellstack_runtime.store import Store  # noqa: PLC0415

    store = Store.open()
    support = cgroups.detect()
    facts: dict[str, Any] = {
        "Home": store.home,
        "Images": len(store.images()),
        "Layers": len(store.layers()),
        "Notebooks": len(store.sessions()),
        "Containers": len(live_containers(store.home)),
        "CgroupVersion": support.version,
        "CgroupControllers": sorted(name for name, found in support.controllers.items() if found.writable),
        "Rootless": idmap.base_id() is None,
        "Kernel": platform.release(),
        "CPUs": os.cpu_count(),
        "MemoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    if style == "json":
        as_json(facts)
    else:
        table(("NAME", "VALUE"), [(name, ", ".join(v) if isinstance(v, list) else str(v)) for name, v in facts.items()])
