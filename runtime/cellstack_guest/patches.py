"""What cells set inside modules: attributes in libraries, and the data of the person's own modules.

Of libraries whose objects are not looked at (`baseline.py`), what the text of a cell assigns to is saved:
`pd.DataFrame.total = f`, `math.limit += 1`, `units.registry[Money] = c`, `module.items.append(x)`. Of modules that lie
beside the notebook, all data: their own functions change it. They become components of the saved state like variables,
under the keys "patch:<module>:<path>" and "module:<module>", and are put back when the module is imported.
"""

from __future__ import annotations

import collections
import sys
import types
import weakref

# By names of this module: a cell may put other functions in the place of those of `os` while it runs.
from os import stat
from posixpath import dirname
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest import adapters, baseline, caches, hooks, originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Stamp = tuple[int, int]  # size and time of a file

PATCH, MODULE = "patch:", "module:"
FOLDER = "/work"  # the notebook's, where the person's own modules are; they are never preloaded
_STAMP = "cellstack file"  # no attribute has this name
_ABSENT = object()
_OWNERS = (type, types.FunctionType)  # what has attributes, beside modules
_stamps: dict[str, tuple[object, Stamp]] = {}  # of the process: which file each module was made from, by its spec
_CONTAINERS = (list, dict, set, collections.deque)
_DATA = (
    *(int, float, complex, str, bytes, bool, type(None)),
    *(*_CONTAINERS, tuple, frozenset, bytearray),
    *(weakref.WeakValueDictionary, weakref.WeakKeyDictionary, weakref.WeakSet),
)
# Carried otherwise, or of the process.
_SETTINGS = frozenset(
    {
        *("sys:path", "sys:modules", "sys:argv", "sys:meta_path", "sys:path_hooks", "sys:displayhook"),
        *("sys:stdin", "os:environ", "warnings:filters"),
    }
)


def module_of(key: str) -> str:
    """Return the module that a key of this kind belongs to."""
    return baseline.module_of(key)


def is_patch(key: str) -> bool:
    """Tell whether a key of a component is of this kind."""
    return key.startswith((PATCH, MODULE, baseline.DELTA, hooks.HOOK))


def is_data(key: str) -> bool:
    """Tell whether it is the data of a module of the person's own."""
    return key.startswith(MODULE)


def title(key: str) -> str:
    """Return what a person calls it: "pandas.DataFrame.total"."""
    if hooks.is_hook(key) and (what := adapters.HOOKS[key].what):
        return f"{what} of {module_of(key)}"
    _, module, path = key.split(":", 2) if key.count(":") > 1 else (*key.split(":"), "")
    return f"{module}{path}" if baseline.is_delta(key) else f"{module}.{path}".rstrip(".")


def found(
    targets: Iterable[tuple[str, bool]],
    namespace: Mapping[str, Any],
    known: Iterable[str],
    imported: Iterable[str],
    is_covered: Callable[[str], bool],
) -> dict[str, Any]:
    """Return what there is to save, by key.

    targets: dotted names that a cell assigns to (True), or calls a method of (False). known: keys of this kind that are
    loaded. imported: names of the modules that were imported in this process. What is no longer there is missing.
    is_covered: tells whether changes of a module are noticed without this.
    """
    keys = {key for key in known if key.startswith(PATCH)}
    keys.update(key for path, assigned in targets if (key := _key(path, assigned=assigned, namespace=namespace)))
    values = {key: value for key in keys if (value := _value(key)) is not _ABSENT}
    # That a plain function has attributes is noticed by nothing else: there are too many to look at.
    values = {key: value for key, value in values.items() if _is_of_function(key) or not is_covered(module_of(key))}
    for name in imported:
        module = sys.modules[name]
        if is_own(module) and (data := dict(_data_of(module))):
            values[MODULE + name] = {**data, _STAMP: stamp_of(module)}
    return values


def apply(key: str, value: Any) -> None:
    """Put back what was saved under `key`. The data of a file that has changed since is that of the file."""
    if key.startswith(baseline.DELTA):
        baseline.apply(key, value)
        return
    if hooks.is_hook(key):
        adapters.HOOKS[key].write(value)
        return
    module = sys.modules[module_of(key)]
    if key.startswith(MODULE):
        data = dict(value)
        if data.pop(_STAMP) == stamp_of(module):
            for name, kept in list(data.items()):
                if type(kept) is caches.Content:
                    caches.fill(vars(module)[name], data.pop(name))
                elif type(kept) is Attributes:
                    vars(vars(module)[name]).update(data.pop(name).values)
            vars(module).update(data)
        return
    owner, name = _owner(key)
    if owner is None:
        return
    before = vars(owner).get(name, _ABSENT)
    if before is value:
        return
    if type(before) is type(value) and isinstance(value, _CONTAINERS):
        before.clear()  # in place: the library may know it by other names
        (before.update if isinstance(value, dict | set) else before.extend)(value)
    else:
        originals.keep(owner, name)
        setattr(owner, name, value)


def _key(path: str, *, assigned: bool, namespace: Mapping[str, Any]) -> str | None:
    root, *parts = path.split(".")
    found = namespace.get(root)
    while type(found) is types.ModuleType and parts and type(vars(found).get(parts[0])) is types.ModuleType:
        found = vars(found)[parts.pop(0)]
    if type(found) is types.ModuleType and found.__name__ != "__main__":
        module = found.__name__
    elif isinstance(found, _OWNERS) and found.__module__ not in ("__main__", "builtins"):
        module, parts = found.__module__, [*found.__qualname__.split("."), *parts]
    else:
        return None
    key = f"{PATCH}{module}:{'.'.join(parts)}"
    if not parts or module not in sys.modules or key[len(PATCH) :] in _SETTINGS:
        return None
    value = _value(key)
    if value is _ABSENT or type(value) is types.ModuleType or (not assigned and type(value) not in _CONTAINERS):
        return None
    return key


def _owner(key: str) -> tuple[Any, str]:
    """Return the module, class or function that has the attribute, and its name; None when it is not there."""
    _, module, path = key.split(":")
    *parts, name = path.split(".")
    owner: Any = sys.modules.get(module)
    if not isinstance(owner, types.ModuleType):
        return None, name
    for part in parts:
        owner = vars(owner).get(part)
        if not isinstance(owner, _OWNERS):
            return None, name
    return owner, name


def _is_of_function(key: str) -> bool:
    return type(_owner(key)[0]) is types.FunctionType


def _value(key: str) -> Any:
    owner, name = _owner(key)
    return _ABSENT if owner is None else vars(owner).get(name, _ABSENT)


def is_own(module: Any) -> bool:
    """Tell whether a module is a file of the person's."""
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and path.startswith(f"{FOLDER}/")


def folder_of(name: str) -> str | None:
    """Return where a module of the person's own was found, None for one below a package and for others."""
    module = sys.modules.get(name)
    if "." in name or not is_own(module):
        return None
    folder = dirname(str(getattr(module, "__file__", "")))
    return dirname(folder) if hasattr(module, "__path__") else folder


class Attributes(NamedTuple):
    """What a function of a module has in its namespace, where the function itself comes from the module."""

    values: dict[str, Any]


def _data_of(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if type(value) is caches.CACHED and value.__module__ == module.__name__:
            yield name, caches.Kept(value)
        elif type(value) is types.FunctionType and value.__module__ == module.__name__:
            if kept := {key: each for key, each in vars(value).items() if _is_data(key, each)}:
                yield name, Attributes(kept)
        elif _is_data(name, value):
            yield name, value


def _is_data(name: str, value: Any) -> bool:
    return not name.startswith("__") and (isinstance(value, _DATA) or is_own(sys.modules.get(type(value).__module__)))


def own_modules() -> dict[str, Stamp]:
    """Return the person's own modules that were imported in this process, and of each the file that it is made from."""
    found = [(name, sys.modules.get(name)) for name in [*hooks.new_modules()]]
    return {name: stamp_of(module) for name, module in found if type(module) is types.ModuleType and is_own(module)}


def stamp_of(module: types.ModuleType) -> Stamp:
    """Return what tells the file that a module is made from: as it was when this was asked first since its code ran."""
    spec, known = getattr(module, "__spec__", None), _stamps.get(module.__name__)
    if known is None or known[0] is not spec:  # a module that is reloaded has another one
        known = _stamps[module.__name__] = spec, _stamp(module)
    return known[1]


def _stamp(module: types.ModuleType) -> Stamp:
    try:
        status = stat(module.__file__ or "")
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns
