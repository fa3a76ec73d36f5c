"""Looking into the namespaces of containers that end meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import namespaces
from cellstack_runtime.errors import NotFoundError
from cellstack_runtime.live import Container

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="ending")
def _ending() -> Iterator[int]:
    """Return a process that has ended, and that nobody has waited for: it has a number, and no mounts any more."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)


def test_a_container_that_is_just_ending_has_ended(ending: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_enter", lambda _: {"interfaces": [], "hostname": "h"})
    monkeypatch.setattr(namespaces, "_id_map", lambda *_: [])
    monkeypatch.setattr(namespaces, "processes_of", lambda _: [])
    texts: dict[str, Any] = dict.fromkeys(("id", "image", "session", "created", "status", "run"), "x")
    tables: dict[str, Any] = {name: {} for name in ("limits", "enforced_by", "cgroups")}
    container = Container(
        **texts, **tables, started=None, command=[], parent=None, namespaces={}, cgroup=None, pid=ending
    )
    with pytest.raises(OSError, match="Invalid argument"):
        open(f"/proc/{ending}/mountinfo", encoding="utf-8").close()
    with pytest.raises(NotFoundError, match="has ended"):
        namespaces.look(container)
