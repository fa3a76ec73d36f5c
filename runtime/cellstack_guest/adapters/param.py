"""param, and with it panel and holoviews: what their own unpickling changes, as it sets attributes one by one."""

from __future__ import annotations

from typing import Any

from cellstack_guest.settings import module


def _reduce_parameterized(obj: Any) -> Any:
    """Return the reduction to all attributes: param itself takes each watcher for one of the object's own methods."""
    cls: Any = type(obj)
    own = module("param.parameterized").Parameterized
    if cls.__reduce_ex__ is not object.__reduce_ex__ or cls.__reduce__ is not object.__reduce__:
        return NotImplemented
    if cls.__getstate__ is not own.__getstate__ or cls.__setstate__ is not own.__setstate__:
        return NotImplemented
    make, arguments, state, *_ = obj.__reduce_ex__(5)
    return (make, arguments, state, None, None, _fill)


def _fill(obj: Any, state: dict[str, Any]) -> None:
    slots = {name for base in type(obj).__mro__ for name in base.__dict__.get("__slots__", ())}
    vars(obj).update({name: value for name, value in state.items() if name not in slots})
    for name in state.keys() & slots:
        object.__setattr__(obj, name, state[name])


def _reduce_tree(obj: Any) -> Any:
    """Return the reduction of a tree of holoviews, which would have each branch twice."""
    make, arguments, state, *_ = obj.__reduce_ex__(5)
    return (make, arguments, (state, list(obj.data.items()), list(obj.children)), None, None, _set_tree)


def _set_tree(obj: Any, content: tuple[Any, list[Any], list[str]]) -> None:
    state, items, children = content
    if hasattr(obj, "__setstate__"):
        obj.__setstate__(state)
    else:
        vars(obj).update(state)
    obj.data.clear()
    obj.data.update(items)
    obj.children[:] = children


HANDLERS = {
    ("param.parameterized", "Parameterized"): _reduce_parameterized,
    ("holoviews.core.tree", "AttrTree"): _reduce_tree,
}
