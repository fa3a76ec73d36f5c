"""What `import cellstack` gives inside a cell.

layer: id of the layer this cell starts from, None in the first cell. limits: what this cell may use, as in the
cell's record. The cell server sets both, and `carrier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_guest.carry import Carrier

__all__ = ["layer", "limits", "provide"]

layer: str | None = None
limits: dict[str, Any] = {}
_carrier: list[Carrier] = []


def connect(carrier: Carrier) -> None:
    """Make `provide` work on this carrier (called once, by the cell server)."""
    _carrier[:] = [carrier]


def provide(name: str, factory: Callable[[], Any]) -> Any:
    """Bind `name` to `factory()` here and in every later cell that uses it.

    For what cannot be carried from one container to the next, as connections, generators and locks:
    `cellstack.provide("conn", lambda: sqlite3.connect("data.db"))`. Returns the value.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"provide takes the name of a variable, not {name!r}")
    if not callable(factory):
        raise TypeError(f"provide takes a function that makes {name}, not {type(factory).__name__}")
    if not _carrier:
        raise RuntimeError("cellstack.provide works in a cell of a notebook only")
    return _carrier[0].provide(name, factory)
