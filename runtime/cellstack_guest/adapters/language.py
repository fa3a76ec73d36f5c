"""The language itself: views and iterators of objects, weak references, what `typing` makes."""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import weakref
from typing import TYPE_CHECKING, Any, NewType, ParamSpec

from cellstack_guest.reducers import dead_reference, refuse, set_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def reduce_view(view: Any) -> Any:
    """Return the reduction of the keys, values or items of a dict: of the same dict again."""
    (mapping,) = gc.get_referents(view)
    return (view_of, (mapping, type(view).__qualname__.partition("_")[2]))


def view_of(mapping: dict[Any, Any], name: str) -> Any:
    """Return a view of a dict, without asking a class that is derived from it."""
    return getattr(collections.OrderedDict if isinstance(mapping, collections.OrderedDict) else dict, name)(mapping)


def reduce_super(proxy: Any) -> Any:
    """Return the reduction of what `super()` gives."""
    bound = object.__getattribute__(proxy, "__self__")
    return (super, (proxy.__thisclass__,) if bound is None else (proxy.__thisclass__, bound))


# Weak references


def reduce_proxy(proxy: Any) -> Any:
    """Return the reduction of a weak proxy, which answers with what it stands for."""
    try:
        referent = proxy.__sizeof__.__self__
    except ReferenceError:
        return (_dead_proxy, ())
    return (weakref.proxy, (referent, *gc.get_referents(proxy)))


def _dead_proxy() -> Any:
    return weakref.proxy(type("Gone", (), {})())


def reduce_weak_method(reference: weakref.WeakMethod[Any]) -> Any:
    """Return the reduction of a weak reference to a bound method."""
    if type(reference) is not weakref.WeakMethod:
        return refuse(reference)
    method = reference()
    if method is None:
        return (dead_reference, ())
    inner: Any = reference.__callback__
    cells = dict(zip(inner.__code__.co_freevars, inner.__closure__, strict=True))
    return (weakref.WeakMethod, (method, cells["callback"].cell_contents))


def reduce_finalizer(finalizer: weakref.finalize[..., Any]) -> Any:
    """Return the reduction of a finalizer: one that is still to be called, or one that was."""
    call = finalizer.peek()
    return (make_finalizer, (None, None, (), {}, False) if call is None else (*call, finalizer.atexit))


def make_finalizer(obj: Any, call: Any, arguments: tuple[Any, ...], options: dict[str, Any], atexit: bool) -> Any:
    """Return a finalizer of `obj`, which is dead when there is nothing to call."""
    if call is None:
        finalizer: Any = weakref.finalize(make_finalizer, int)
        finalizer.detach()
        return finalizer
    finalizer = weakref.finalize(obj, call, *arguments, **(options or {}))
    finalizer.atexit = atexit
    return finalizer


# Iterators and keys


def reduce_sort_key(key: Any) -> Any:
    """Return the reduction of what `functools.cmp_to_key` gives, or of such a key of an object."""
    compare, *wrapped = [each for each in gc.get_referents(key) if each is not type(key)]
    return (make_sort_key, (compare, *wrapped))


def make_sort_key(compare: Callable[[Any, Any], int], *wrapped: Any) -> Any:
    """Return a function that gives keys, or the key of an object."""
    make: Any = functools.cmp_to_key(compare)
    return make(*wrapped) if wrapped else make


class Ahead:
    """An iterator that gives one value before what is left of another."""

    def __init__(self, head: Any, rest: Iterator[Any]) -> None:
        self.left, self.rest = [head], rest

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Any:
        return self.left.pop() if self.left else next(self.rest)


def reduce_pairwise(pairs: Any) -> Any:
    """Return the reduction of `itertools.pairwise`: what is left, behind the value that the next pair begins with."""
    source, *before = [each for each in gc.get_referents(pairs) if each is not type(pairs)] or [iter(())]
    if type(source) is Ahead and not source.left:
        source = source.rest
    return (itertools.pairwise, (Ahead(before[0], source) if before else source,))


# Typing


def reduce_parameter(parameter: Any) -> Any:
    """Return the reduction of a ParamSpec or TypeVarTuple of the notebook; those of modules are found by their name."""
    if parameter.__module__ != "__main__":
        return NotImplemented
    options = {name: getattr(parameter, f"__{name}__") for name in _VARIANCE if hasattr(parameter, f"__{name}__")}
    return (make_parameter, (type(parameter), parameter.__name__, options))


_VARIANCE = ("bound", "covariant", "contravariant")


def make_parameter(kind: Any, name: str, options: dict[str, Any]) -> Any:
    """Return a parameter of the notebook."""
    parameter = kind(name, **options)
    parameter.__module__ = "__main__"
    return parameter


def reduce_new_type(made: Any) -> Any:
    """Return the reduction of a NewType of the notebook."""
    if made.__module__ != "__main__":
        return NotImplemented
    return (NewType, (made.__name__, made.__supertype__), vars(made), None, None, set_attributes)


def reduce_type_alias(alias: Any) -> Any:
    """Return the reduction of what a `type` statement of the notebook made (Python 3.12)."""
    if alias.__module__ != "__main__":
        return NotImplemented
    return (make_type_alias, (type(alias), alias.__name__, alias.__value__, alias.__type_params__))


def make_type_alias(kind: Any, name: str, value: Any, parameters: Iterable[Any]) -> Any:
    """Return a type alias."""
    return kind(name, value, type_params=tuple(parameters))


HANDLERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    **{("builtins", f"{kind}dict_{name}"): reduce_view for kind in ("", "o") for name in ("keys", "values", "items")},
    ("builtins", "super"): reduce_super,
    (weakref.ProxyType.__module__, weakref.ProxyType.__qualname__): reduce_proxy,
    (weakref.CallableProxyType.__module__, weakref.CallableProxyType.__qualname__): reduce_proxy,
    ("weakref", "WeakMethod"): reduce_weak_method,
    ("weakref", "finalize"): reduce_finalizer,
    ("functools", "KeyWrapper"): reduce_sort_key,
    ("itertools", "pairwise"): reduce_pairwise,
    (ParamSpec.__module__, "ParamSpec"): reduce_parameter,
    ("typing", "TypeVarTuple"): reduce_parameter,
    ("typing", "NewType"): reduce_new_type,
    ("typing", "TypeAliasType"): reduce_type_alias,
}
