"""traitlets, and with it ipywidgets: what observes an object's traits, which its own pickle leaves out."""

from __future__ import annotations

import sys
from typing import Any

from cellstack_guest.settings import module

_REGISTRIES = ("_trait_notifiers", "_trait_validators")


def _reduce(obj: Any) -> Any:
    cls: Any = type(obj)
    if any(getattr(cls, name) is not getattr(object, name) for name in ("__reduce__", "__reduce_ex__")):
        return NotImplemented
    make, arguments, state, *_ = obj.__reduce_ex__(5)
    registries = {name: _coded(obj, vars(obj)[name]) for name in _REGISTRIES if name in vars(obj)}
    return (make, arguments, (state, registries), None, None, _set)


def _set(obj: Any, content: tuple[Any, dict[str, Any]]) -> None:
    state, registries = content
    obj.__setstate__(state)
    vars(obj).update({name: _decoded(obj, found) for name, found in registries.items()})
    widgets: Any = sys.modules.get("ipywidgets.widgets.widget")
    if widgets is not None and isinstance(obj, widgets.Widget) and vars(obj).get("_model_id") is not None:
        # By which a front end refers to it. A copy that is only looked at does not take the place of the one there is.
        widgets._instances.setdefault(obj._model_id, obj)  # noqa: SLF001


def _coded(obj: Any, found: Any) -> Any:
    """Return a registry with the name, in a tuple, in place of each handler that the class declares."""
    if isinstance(found, dict):
        return {key: _coded(obj, value) for key, value in found.items()}
    if isinstance(found, list):
        return [_coded(obj, value) for value in found]
    name = found.name if isinstance(found, module("traitlets.traitlets").EventHandler) else None
    return (name,) if name is not None and getattr(type(obj), name, None) is found else found


def _decoded(obj: Any, found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _decoded(obj, value) for key, value in found.items()}
    if isinstance(found, list):
        return [_decoded(obj, value) for value in found]
    return getattr(type(obj), found[0]) if type(found) is tuple else found


HANDLERS = {("traitlets.traitlets", "HasTraits"): _reduce}
FIXED = (("traitlets.traitlets", "All"), ("traitlets.traitlets", "Undefined"))
