"""Images and layers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cellstack_runtime.cli.output import ago, as_json, format_option, printable, table
from cellstack_runtime.limits import format_size
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from cellstack_runtime.store import Layer, Session


@click.command()
@format_option
def images(style: str) -> None:
    """List the images of the store."""
    found = Store.open().images()
    if style == "json":
        as_json(
            [
                {
                    "Id": image.id,
                    "Tags": list(tags),
                    "Created": image.created,
                    "Size": image.size,
                    "Layers": list(image.layers),
                }
                for tags, image in found
            ]
        )
        return
    rows = []
    for tags, image in found:
        for tag in tags or ["<none>:<none>"]:
            name, _, version = tag.rpartition(":")
            rows.append((name, version, image.id[:12], ago(image.created), format_size(image.size)))
    table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), rows)


@click.command()
@click.argument("session", required=False)
@format_option
def layers(session: str | None, style: str) -> None:
    """List the layers of a notebook (SESSION: its id or path; without it, the notebooks)."""
    store = Store.open()
    if session is None:
        _sessions(store, style)
        return
    chosen = store.session(session)
    chain = store.chain(chosen.head) if chosen.head else []
    if style == "json":
        as_json({"session": chosen.id, "head": chosen.head, "layers": [asdict(layer) for layer in chain]})
        return
    rows = [_layer_row(layer, chosen) for layer in reversed(chain)]
    table(("LAYER", "CELL", "CREATED", "CHANGES", "SIZE", "PEAK", "CODE"), rows)


def _layer_row(layer: Layer, session: Session) -> tuple[str, ...]:
    changes = layer.changes
    code = str(layer.cell.get("code", "")).strip().splitlines()
    return (
        layer.id[:12] + (" *" if layer.id == session.head else ""),
        str(layer.cell.get("number") or ""),
        ago(layer.created),
        f"+{changes.added} ~{changes.changed} -{changes.deleted}",
        format_size(changes.bytes),
        "" if layer.memory_peak_bytes is None else format_size(layer.memory_peak_bytes),
        code[0][:50] if code else "",
    )


def _sessions(store: Store, style: str) -> None:
    found = store.sessions()
    if style == "json":
        as_json(
            [
                {"id": s.id, "notebook": s.notebook, "image": s.image, "head": s.head, "cells": len(s.cells)}
                for s in found
            ]
        )
        return
    rows = [(s.id, str(len(s.cells)), (s.head or "")[:12], s.notebook or "") for s in found]
    table(("SESSION", "CELLS", "HEAD", "NOTEBOOK"), rows)


@click.command()
@click.argument("layer")
@format_option
def diff(layer: str, style: str) -> None:
    """List what a layer added (A), changed (C) and deleted (D)."""
    from cellstack_runtime.diff import changes_of_layer  # noqa: PLC0415

    store = Store.open()
    changes = changes_of_layer(store, store.find_layer(layer))
    if style == "json":
        as_json([asdict(change) for change in changes])
    else:
        for change in changes:
            click.echo(f"{change.kind} {printable(change.path)}")
