"""traitlets, and with it ipywidgets: who is told when a value changes."""

from __future__ import annotations

from typing import Any

from cellstack_guest.settings import module


def reduce_observed(owner: Any) -> Any:
    """Return the reduction of an object with values that are observed: its own, with those who are told of changes.

    What its class observes it finds itself.
    """
    state = owner.__reduce_ex__(2)
    handlers = {
        name: {kind: others for kind, each in kinds.items() if (others := [*filter(_is_added, each)])}
        for name, kinds in owner._trait_notifiers.items()  # noqa: SLF001
    }
    handlers = {name: kinds for name, kinds in handlers.items() if kinds}
    if not handlers or len(state) < 3:
        return NotImplemented
    make, arguments, attributes, *_ = state
    return (make, arguments, (attributes, handlers), None, None, set_observed)


def _is_added(handler: Any) -> bool:
    return not isinstance(handler, module("traitlets").traitlets.EventHandler)


def set_observed(owner: Any, state: tuple[Any, dict[Any, dict[Any, list[Any]]]]) -> None:
    """Fill an object, and tell it whom to tell."""
    attributes, handlers = state
    owner.__setstate__(attributes)
    for name, kinds in handlers.items():
        for kind, each in kinds.items():
            for handler in each:
                owner._add_notifiers(handler, name, kind)  # noqa: SLF001


HANDLERS = {("traitlets.traitlets", "HasTraits"): reduce_observed}
