"""numpy: the global generator, how arrays are printed, what is done about errors; objects that are made by calls."""

from __future__ import annotations

import collections
import gc
import itertools
import os
from typing import Any

from cellstack_guest.hooks import held
from cellstack_guest.reducers import module_attribute, refuse
from cellstack_guest.settings import Setting, module


def _read_numpy_random() -> Any:
    state = module("numpy.random").get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return None
    inner = state["state"]
    return (inner["key"].tobytes(), inner["pos"], state["has_gauss"], state["gauss"])


def _write_numpy_random(value: Any) -> None:
    if value is None:
        return
    key, position, has_gauss, gauss = value
    numpy = module("numpy")
    words = numpy.frombuffer(key, numpy.uint32)
    module("numpy.random").set_state(("MT19937", words, position, has_gauss, gauss))


def _read_bit_generator() -> Any:
    generator = module("numpy.random").get_bit_generator()
    return None if type(generator).__name__ == "MT19937" else generator  # whose state is carried as above


def _write_bit_generator(generator: Any) -> None:
    module("numpy.random").set_bit_generator(generator)


def _read_print_options() -> Any:
    options = module("numpy").get_printoptions()
    options.pop("override_repr", None)
    return options


def _write_print_options(options: dict[str, Any]) -> None:
    module("numpy").set_printoptions(**options)


def _write_numpy_errors(value: dict[str, Any]) -> None:
    module("numpy").seterr(**value)


def reduce_dispatcher(function: Any) -> Any:
    """Return the reduction of a function of numpy's: by the name that it is written under, as cells may replace it."""
    scope = getattr(function._implementation, "__globals__", {})  # noqa: SLF001  those written in C have none
    name = function.__name__
    return (module_attribute, (scope["__name__"], name)) if scope.get(name) is function else NotImplemented


def reduce_limits(limits: Any) -> Any:
    """Return the reduction of what numpy knows of a type of numbers."""
    return (type(limits), (limits.dtype,))


def reduce_ufunc(ufunc: Any) -> Any:
    """Return the reduction of a ufunc that stands for a Python function; others are found by their names."""
    function = next((each for each in gc.get_referents(ufunc) if callable(each)), None)
    if function is None or not ufunc.__name__.endswith("(vectorized)"):
        return NotImplemented
    return (make_ufunc, (function, ufunc.nin, ufunc.nout, ufunc.identity))


def make_ufunc(function: Any, nin: int, nout: int, identity: Any) -> Any:
    """Return a ufunc that calls a function."""
    return module("numpy").frompyfunc(function, nin, nout, identity=identity)


def reduce_flat(flat: Any) -> Any:
    """Return the reduction of an iterator over an array, where it stands."""
    return (make_flat, (flat.base, flat.index))


def make_flat(array: Any, index: int) -> Any:
    """Return an iterator over an array that has passed `index` elements."""
    return _advanced(array.flat, index)


def reduce_broadcast(broadcast: Any) -> Any:
    """Return the reduction of arrays that are broadcast together."""
    return (make_broadcast, (tuple(each.base for each in broadcast.iters), broadcast.index))


def make_broadcast(arrays: tuple[Any, ...], index: int) -> Any:
    """Return arrays broadcast together, after `index` steps."""
    return _advanced(module("numpy").broadcast(*arrays), index)


def _advanced(iterator: Any, steps: int) -> Any:
    collections.deque(itertools.islice(iterator, steps), maxlen=0)
    return iterator


def reduce_archive(archive: Any) -> Any:
    """Return the reduction of an .npz file: the same file, opened again."""
    path = getattr(archive.zip, "filename", None)
    if path is None or not os.path.isfile(path):
        return refuse(archive)
    return (open_archive, (os.path.abspath(path), archive.allow_pickle, archive.max_header_size))


def open_archive(path: str, allow_pickle: bool, max_header_size: int) -> Any:
    """Open an .npz file."""
    return module("numpy").load(path, allow_pickle=allow_pickle, max_header_size=max_header_size)


SETTINGS = (
    Setting("numpy.random", "numpy.random", _read_numpy_random, _write_numpy_random),
    Setting("numpy print options", "numpy", _read_print_options, _write_print_options),
    Setting("numpy errors", "numpy", lambda: module("numpy").geterr(), _write_numpy_errors),
    Setting(
        "numpy buffer size",
        "numpy",
        lambda: module("numpy").getbufsize(),
        lambda size: module("numpy").setbufsize(size),
    ),
)
HOOKS = (
    held(
        "what is called for errors",
        "numpy",
        lambda: module("numpy").geterrcall(),
        lambda call: module("numpy").seterrcall(call),
    ),
    held("bit generator", "numpy.random", _read_bit_generator, _write_bit_generator),
)
HANDLERS = {
    ("numpy", "_ArrayFunctionDispatcher"): reduce_dispatcher,
    ("numpy", "finfo"): reduce_limits,
    ("numpy", "iinfo"): reduce_limits,
    ("numpy", "ufunc"): reduce_ufunc,
    ("numpy", "flatiter"): reduce_flat,
    ("numpy", "broadcast"): reduce_broadcast,
    ("numpy.lib.npyio", "NpzFile"): reduce_archive,
}
FIXED = (("numpy.random.mtrand", "_rand"),)
