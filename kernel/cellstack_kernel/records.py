"""The record of a cell run: what `execute --format json` prints and what goes into the reply's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellstack_runtime.containers import CellContainer, Finished
    from cellstack_runtime.workspace import Workspace

REASONS = ("finished", "interrupt", "oom", "timeout", "signal", "pids")


def cell_record(
    number: int,
    container: CellContainer,
    finished: Finished,
    parent: str | None,
    content: dict[str, Any],
    carried: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the record of a cell that ran in `container`; carried is None when it was killed."""
    status = content.get("status", "ok")
    reason = finished.exit.reason
    if carried is None:
        status = "killed"
        reason = reason if reason in REASONS else "signal"
    elif finished.pids_refused and status == "error":
        reason = "pids"
    elif status == "error":
        reason = "interrupt" if content.get("ename") == "KeyboardInterrupt" else "exception"
    else:
        reason = "finished"
    changes = finished.changes
    return {
        "status": status,
        "execution_count": number,
        "layer": finished.layer or parent,
        "parent": parent,
        "changes": {"added": changes.added, "changed": changes.changed, "deleted": changes.deleted},
        "bytes": changes.bytes,
        "wall_seconds": round(finished.wall_seconds, 6),
        "cpu_seconds": round(finished.cpu_seconds, 6),
        "memory_peak_bytes": finished.memory_peak_bytes,
        "exit": {"reason": reason, "signal": finished.exit.signal if status == "killed" else None},
        "limits": {**container.limits.as_json(), "enforced_by": container.enforced_by},
        "namespaces": container.namespaces,
        "container": container.id,
        "host": {"pid": container.pid, "cgroup": container.cgroup},
        "cache": "off",
        "carried": carried or {"saved": [], "loaded": [], "not_carried": {}},
    }


def record_without_container(workspace: Workspace, number: int, status: str) -> dict[str, Any]:
    """Return the record of a cell that the host answered alone, or for which no container could be made."""
    return {
        "status": status,
        "execution_count": number,
        "layer": workspace.head,
        "parent": workspace.head,
        "changes": {"added": 0, "changed": 0, "deleted": 0},
        "bytes": 0,
        "wall_seconds": 0.0,
        "cpu_seconds": 0.0,
        "memory_peak_bytes": 0,
        "exit": {"reason": "finished" if status == "ok" else "exception", "signal": None},
        "limits": {**workspace.limits.as_json(), "enforced_by": {}},
        "namespaces": {},
        "container": None,
        "host": {"pid": None, "cgroup": None},
        "cache": "off",
        "carried": {"saved": [], "loaded": [], "not_carried": {}},
    }
