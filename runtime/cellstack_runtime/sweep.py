"""Remove what a broker that died has left: its directories and its cgroups, by its own record."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

from cellstack_runtime import cgroups

if TYPE_CHECKING:
    from cellstack_runtime.store import Store


def sweep(store: Store) -> list[str]:
    """Remove the runs whose broker is gone; return their directories.

    A broker holds the lock of its run for as long as it lives; a run without a lock file is one whose broker has
    not come that far, and is left alone while its directory is young enough to be one that just starts.
    """
    for session in store.sessions():
        if not session.is_live() and session.is_empty():
            store.remove_tree(session.path)
    runs = f"{store.home}/runs"
    swept = []
    for name in sorted(os.listdir(runs)):
        path = f"{runs}/{name}"
        try:
            lock = os.open(f"{path}/lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if not cgroups.remove_stale(_recorded_cgroups(path)):
                store.remove_tree(path)
                swept.append(path)
        finally:
            os.close(lock)
    return swept


def _recorded_cgroups(path: str) -> list[str]:
    try:
        with open(f"{path}/owner.json", encoding="utf-8") as file:
            record = json.load(file)
    except (FileNotFoundError, ValueError):  # it died before the record was complete, so before it made anything
        return []
    return [str(entry) for entry in record["cgroups"]]
