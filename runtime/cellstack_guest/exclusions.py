"""What of modules is not looked into, and which changes of them are no change of a cell's."""

from __future__ import annotations

import builtins
import functools
import importlib.machinery
import re
import sys
import types
from threading import Thread  # in whose place a cell may put another class
from typing import TYPE_CHECKING, Any

from cellstack_guest import definitions, nodes, reducers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellstack_guest.nodes import Step

# Whose state is of the process, is carried otherwise, or is a cache.
_SKIPPED = frozenset(
    {
        *("__main__", "__mp_main__", "cellstack", "cellstack_guest", "builtins", "sys", "os", "posix", "posixpath"),
        *("io", "_io", "signal", "gc", "atexit", "multiprocessing", "joblib", "concurrent", "asyncio", "threading"),
        *("_thread", "subprocess", "selectors", "select", "socket", "tornado", "zmq", "faulthandler", "fcntl", "mmap"),
        *("time", "importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "pkgutil", "runpy"),
        *("site", "sysconfig", "linecache", "encodings", "codecs", "re", "tokenize", "traceback", "inspect", "weakref"),
        *("_weakrefset", "typing", "warnings", "_warnings", "random", "decimal", "_decimal", "locale", "tempfile"),
        *("contextvars", "pickle", "_pickle", "_compat_pickle", "ctypes", "cloudpickle", "pdb", "bdb", "cmd"),
        *("readline", "numba", "llvmlite", "comm", "pyviz_comms", "ipywidgets", "traitlets", "pyparsing", "jaxlib"),
        *("prompt_toolkit", "pygments", "jedi", "parso", "stack_data", "executing"),
        # A debugger that remembers what another process has told of its stops does not tell of this one's.
        *("debugpy", "pydevd", "pydevd_file_utils", "pydevd_plugins", "pydevd_tracing", "pydev_ipython"),
        *("_pydev_bundle", "_pydevd_bundle", "_pydevd_frame_eval", "_pydevd_sys_monitoring"),
    }
)
# Below these is what `adapters` have a reader and a writer for, or what is of the process.
_BELOW = frozenset(
    {
        *("matplotlib.rcParams", "matplotlib.rcParamsDefault", "matplotlib.rcParamsOrig", "matplotlib.backends"),
        *("matplotlib.pyplot", "matplotlib._pylab_helpers.Gcf", "pandas._config.config._global_config"),
        *("xarray.core.options.OPTIONS", "IPython.core.magic.magics", "logging._handlers", "logging._handlerList"),
        *("matplotlib.backends.registry.backend_registry", "IPython.core.async_helpers"),
        *("IPython.core.history.HistoryManager", "matplotlib_inline.config.InlineBackend"),
        "matplotlib_inline.config.InlineBackendConfig",
        *("torch._library.custom_ops.OPDEF_TO_LIB", "torch._library.simple_registry.singleton", "torch._ops.ops"),
        *("sqlalchemy.event.registry._key_to_collection", "sqlalchemy.event.registry._collection_to_key"),
    }
)
_BEYOND = frozenset({(nodes.ATTRIBUTE, "__warningregistry__"), (nodes.ATTRIBUTE, "__builtins__")})
SHELL = "cellstack_guest.registries"  # where IPython's shell keeps what cells register with it
_NOT_CARRIED = frozenset({"__abstractmethods__", "_abc_impl", "__slotnames__"})
_CACHE = re.compile(r"cache|memo(?!ry)", re.IGNORECASE)


def is_left_out(step: Step, value: Any) -> bool:
    """Tell whether a part is none that is carried: modules are imported again, caches fill again.

    So are the classes that a library keeps to itself: they cannot be found by name.
    """
    kind, key = step
    if type(value) is types.ModuleType or step in _BEYOND or reducers.is_fresh_logger(value) or _is_thread(value):
        return True
    if _is_hidden_class(value) or _is_hidden_class(key):
        return True
    if _is_of_library(key) and (kind == nodes.REGISTERED or (kind == nodes.ITEM and _is_of_library(value))):
        return True  # a library's own, made when it was imported somewhere below the cell's code
    return kind == nodes.ATTRIBUTE and (key in _NOT_CARRIED or (is_cache(key) and type(value) not in nodes.ATOMS))


def _is_thread(value: Any) -> bool:
    """Tell whether this is a thread: it ends with the process, and a library starts another one where there is none."""
    return issubclass(type(value), Thread)


def _is_of_library(value: Any) -> bool:
    """Tell whether this is a class or a function, and none of the notebook's."""
    return issubclass(type(value), (type, types.FunctionType)) and value.__module__ != "__main__"


def _is_hidden_class(value: Any) -> bool:
    if not issubclass(type(value), type) or value.__module__ == "__main__":
        return False
    return not definitions.by_reference(value) or not _is_importable(_root(value.__module__))


@functools.cache
def _is_importable(package: str) -> bool:
    """Tell whether another process finds a package, too: some extension modules make one up."""
    return package in sys.builtin_module_names or importlib.machinery.PathFinder.find_spec(package) is not None


def is_cache(name: Any) -> bool:
    """Tell whether this is what a cache is called."""
    return type(name) is str and _CACHE.search(name) is not None


def _root(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def is_skipped(module: Any) -> bool:
    """Tell whether what belongs to a module of this name is not looked into."""
    return _root(module) in _SKIPPED


def is_standard(module: str) -> bool:
    """Tell whether a module is of the standard library, or is not looked into."""
    return _root(module) in sys.stdlib_module_names or is_skipped(module)


def is_beyond(obj: Any, step: Step) -> bool:
    """Tell whether an object is not to be looked into."""
    if step in _BEYOND or type(obj).__qualname__ == "DisplayFormatter" or _is_thread(obj):
        return True
    module = obj.__module__ if issubclass(type(obj), type) else type(obj).__module__
    return is_skipped(module) and module != "builtins"


def carried_otherwise() -> Iterator[int]:
    """Yield the addresses of what is not looked into, as far as it is there."""
    yield id(vars(builtins))  # which the shell adds to while a cell runs
    for path in _BELOW:
        module, _, name = path.rpartition(".")
        if path in sys.modules:
            yield id(sys.modules[path])
        elif module in sys.modules and name in vars(sys.modules[module]):
            yield id(vars(sys.modules[module])[name])


def modules() -> list[tuple[str, types.ModuleType]]:
    """Return the modules whose state is looked at, by name."""
    return [(name, module) for name, module in list(sys.modules.items()) if is_looked_at(name)]


def is_looked_at(name: str) -> bool:
    """Tell whether the state of an imported module of this name is: what code has made is carried as a whole."""
    if type(sys.modules[name]) is not types.ModuleType or definitions.is_made(sys.modules[name]):
        return False
    return not is_skipped(name) or name == SHELL
