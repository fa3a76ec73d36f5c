"""Disk space: how much the store takes, and giving back what nothing needs any more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cellstack_runtime.cli.output import as_json, format_option, table
from cellstack_runtime.errors import UsageError
from cellstack_runtime.limits import format_size
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from cellstack_runtime.store.collect import Garbage

_KINDS = {
    "sessions": "Sessions",
    "states": "Saved Variables",
    "images": "Images",
    "layers": "Layers",
    "squashed": "Squashed Layers",
    "cached": "Cached Results of Cells",
    "guests": "Guest Files",
}
_WARNING = """WARNING! This will remove:
  - all layers that no session and no image has
  - all images without a tag that no session and no environment uses
  - all variables and guest files that nothing uses"""
_WARNING_ALL = """
  - all sessions, with their layers and variables, whose notebook was deleted, moved or is on a disk that is not mounted
  - all sessions without a notebook
  - all images without a tag that no session uses"""


@click.command()
@format_option
def df(style: str) -> None:
    """Show the disk space that the store takes, and what of it `cellstack prune --all` would give back."""
    from cellstack_runtime.store.usage import usage  # noqa: PLC0415

    rows = usage(Store.open())
    if style == "json":
        as_json(
            [
                {
                    "Type": row.kind,
                    "TotalCount": row.total,
                    "Active": row.active,
                    "Size": row.size,
                    "Reclaimable": row.reclaimable,
                }
                for row in rows
            ]
        )
        return
    table(
        ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"),
        [
            (
                row.kind,
                str(row.total),
                str(row.active),
                format_size(row.size),
                format_size(row.reclaimable) + (f" ({100 * row.reclaimable // row.size}%)" if row.size else ""),
            )
            for row in rows
        ],
    )


@click.command()
@click.option("--force", "-f", is_flag=True, help="Do not ask.")
@click.option("--all", "-a", "everything", is_flag=True, help="Also sessions whose notebook is gone, or without one.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@format_option
def prune(force: bool, everything: bool, dry_run: bool, style: str) -> None:
    """Remove what nothing needs any more: layers, images, saved variables.

    Kernels may go on meanwhile. What they use stays, and what is younger than an hour, but for the layers of a session
    that goes.
    """
    from cellstack_runtime.store.collect import collect, plan  # noqa: PLC0415

    if not (force or dry_run):
        if not sys.stdin.isatty():
            raise UsageError(
                "prune asks before it removes anything, and standard input is no terminal",
                hint="Add --force, or look first with --dry-run",
            )
        click.echo(_WARNING + _WARNING_ALL * everything + "\n", err=True)
        click.confirm("Are you sure you want to continue?", abort=True, err=True)
    store = Store.open()
    garbage = (plan if dry_run else collect)(store, everything=everything)
    if style == "json":
        lists = {name: getattr(garbage, name) for name in _KINDS}
        as_json({"dry_run": dry_run, **lists, "bytes": garbage.bytes, "unreadable": garbage.unreadable})
    else:
        _show(garbage, dry_run=dry_run)
    if garbage.unreadable:
        click.echo(f"cellstack: no layer and no image can go because of {'; '.join(garbage.unreadable)}", err=True)


def _show(garbage: Garbage, *, dry_run: bool) -> None:
    for name, kind in _KINDS.items():
        entries = getattr(garbage, name)
        if entries:
            click.echo("\n".join([f"{'Would delete' if dry_run else 'Deleted'} {kind}:", *entries, ""]))
    click.echo(f"{'Reclaimable' if dry_run else 'Total reclaimed'} space: {format_size(garbage.bytes)}")
