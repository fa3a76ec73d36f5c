"""IPython: what cells set on the shell itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellstack_guest import registries
from cellstack_guest.hooks import Hook
from cellstack_guest.reducers import the_shell

if TYPE_CHECKING:
    from collections.abc import Container

_HANDLER = ("custom_exceptions", "CustomTB")  # of `set_custom_exc`


def _read_attributes(words: Container[str], before: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return attributes that a fresh shell does not have and the cell speaks of, and its handler of exceptions."""
    shell = the_shell()
    if shell is None:
        return None
    attributes = vars(shell)
    names = [name for name in attributes.keys() - registries.attributes if name in words or name in (before or ())]
    if attributes["custom_exceptions"]:
        names += _HANDLER
    return {name: attributes[name] for name in names} or None


def _write_attributes(attributes: dict[str, Any]) -> None:
    vars(the_shell()).update(attributes)


HOOKS = (Hook("IPython", "get_ipython()", _read_attributes, _write_attributes),)
