"""The settings that are carried, with a reader and a writer each.

Readers are called before and after every cell: keep them cheap.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import os
import random
import signal
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BACKEND = "backend"
# Of SIGINT the cell itself changes the handler; the other two have none.
_SIGNALS = tuple(
    int(number) for number in signal.Signals if number not in (signal.SIGINT, signal.SIGKILL, signal.SIGSTOP)
)


@dataclass(frozen=True)
class Setting:
    """One setting. module: where it lives, "" for the interpreter. read: its value, comparable with ==.

    delta: the value is a dict, of which only what differs from the pristine one is saved and written; None in
    place of a value stands for a key that is gone.
    """

    name: str
    module: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    delta: bool = False

    @property
    def loaded(self) -> bool:
        """Whether the library has been imported completely."""
        if not self.module:
            return True
        module = sys.modules.get(self.module)
        return module is not None and not getattr(module.__spec__, "_initializing", False)

    def difference(self, pristine: Any, now: Any) -> Any:
        """Return what is saved."""
        if not self.delta or pristine is None:
            return now
        gone = dict.fromkeys(pristine.keys() - now.keys())
        return gone | {key: value for key, value in now.items() if key not in pristine or pristine[key] != value}


def _module(name: str) -> Any:
    return sys.modules[name]


def _read_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the cell deleted it
        return ""


def _write_directory(path: str) -> None:
    if path:
        os.chdir(path)


def _read_environment() -> dict[bytes, bytes]:
    # Decoding it takes longer than the rest of all readers.
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    return dict(data)


def _write_environment(changes: dict[bytes, bytes | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environb.pop(name, None)
        else:
            os.environb[name] = value


def _write_path(path: list[str]) -> None:
    sys.path[:] = path


def write_filters(filters: list[Any]) -> None:
    """Make these the filters of `warnings`."""
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - the list is public, the cache is not


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Save or load without warnings, which would not be the cell's, and without garbage collections.

    A million objects made in one go are a million that the collector would look at again and again.
    """
    filters, collecting = list(warnings.filters), gc.isenabled()
    warnings.simplefilter("ignore")
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        write_filters(filters)


def _read_decimal() -> Any:
    context = decimal.getcontext()
    traps = tuple(signal for signal, on in context.traps.items() if on)
    return (context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps)


def _write_decimal(value: Any) -> None:
    prec, rounding, lowest, highest, capitals, clamp, traps = value
    decimal.setcontext(decimal.Context(prec, rounding, lowest, highest, capitals, clamp, [], list(traps)))


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_umask(mask: int) -> None:
    os.umask(mask)


def _write_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _read_numpy_random() -> Any:
    state = _module("numpy.random").get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return None
    inner = state["state"]
    return (inner["key"].tobytes(), inner["pos"], state["has_gauss"], state["gauss"])


def _write_numpy_random(value: Any) -> None:
    if value is None:
        return
    key, position, has_gauss, gauss = value
    numpy = _module("numpy")
    words = numpy.frombuffer(key, numpy.uint32)
    _module("numpy.random").set_state(("MT19937", words, position, has_gauss, gauss))


def _read_print_options() -> Any:
    options = _module("numpy").get_printoptions()
    options.pop("override_repr", None)
    return options


def _write_print_options(options: dict[str, Any]) -> None:
    _module("numpy").set_printoptions(**options)


def _write_numpy_errors(value: dict[str, Any]) -> None:
    _module("numpy").seterr(**value)


def _read_rc_params() -> dict[str, Any]:
    # Not through the mapping's own methods: they resolve the backend and thereby import it.
    params: dict[str, Any] = dict(list(dict.items(_module("matplotlib").rcParams)))
    if not isinstance(params.get(_BACKEND), str):
        params.pop(_BACKEND, None)
    return params


def _write_rc_params(changes: dict[str, Any]) -> None:
    matplotlib = _module("matplotlib")
    backend = changes.pop(_BACKEND, None)
    matplotlib.rcParams.update(changes)
    if backend is None or dict.get(matplotlib.rcParams, _BACKEND) == backend:
        return
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        matplotlib.rcParams[_BACKEND] = backend
    else:
        pyplot.switch_backend(backend)


def _read_pandas() -> dict[str, Any]:
    flat: dict[str, Any] = {}
    tree = getattr(sys.modules.get("pandas._config.config"), "_global_config", None)
    if isinstance(tree, dict):
        _flatten(tree, "", flat)
    return flat


def _flatten(tree: dict[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{key}.", flat)
        else:
            flat[prefix + key] = value


def _write_pandas(changes: dict[str, Any]) -> None:
    pandas = _module("pandas")
    for name, value in changes.items():
        pandas.set_option(name, value)


def _read_torch() -> bytes:
    state: bytes = _module("torch").get_rng_state().numpy().tobytes()
    return state


def _write_torch(state: bytes) -> None:
    torch = _module("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _read_collecting() -> bool:
    return gc.isenabled()


def _write_collecting(on: bool) -> None:
    (gc.enable if on else gc.disable)()


def _read_signals() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _write_signals(changes: dict[int, Any]) -> None:
    for number, handler in changes.items():
        signal.signal(number, handler)


def _read_templates() -> str:
    return str(_module("plotly.io").templates.default)


def _write_templates(name: str) -> None:
    _module("plotly.io").templates.default = name


ALTAIR = ("data_transformers", "renderers")  # themes are enabled in ways that differ between versions


def _read_altair() -> dict[str, tuple[str, dict[str, Any]]]:
    registries = {name: getattr(_module("altair"), name, None) for name in ALTAIR}
    return {name: (found.active, dict(found.options)) for name, found in registries.items() if found is not None}


def _write_altair(changes: dict[str, tuple[str, dict[str, Any]]]) -> None:
    for name, (active, options) in changes.items():
        getattr(_module("altair"), name).enable(active, **options)


SETTINGS = (
    Setting("working directory", "", _read_directory, _write_directory),
    Setting("environment", "", _read_environment, _write_environment, delta=True),
    Setting("sys.path", "", lambda: list(sys.path), _write_path),
    Setting("random", "", random.getstate, random.setstate),
    Setting("warnings", "", lambda: list(warnings.filters), write_filters),
    Setting("decimal", "", _read_decimal, _write_decimal),
    Setting("umask", "", _read_umask, _write_umask),
    Setting("locale", "", lambda: locale.setlocale(locale.LC_ALL), _write_locale),
    Setting("recursion limit", "", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("digits of int", "", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    Setting("switch interval", "", sys.getswitchinterval, sys.setswitchinterval),
    Setting("numpy.random", "numpy.random", _read_numpy_random, _write_numpy_random),
    Setting("numpy print options", "numpy", _read_print_options, _write_print_options),
    Setting("numpy errors", "numpy", lambda: _module("numpy").geterr(), _write_numpy_errors),
    Setting("matplotlib", "matplotlib", _read_rc_params, _write_rc_params, delta=True),
    Setting("pandas", "pandas", _read_pandas, _write_pandas, delta=True),
    Setting("torch", "torch", _read_torch, _write_torch),
    Setting("garbage collection", "", _read_collecting, _write_collecting),
    Setting("signal handlers", "", _read_signals, _write_signals, delta=True),
    Setting(
        "socket timeout",
        "socket",
        lambda: _module("socket").getdefaulttimeout(),
        lambda value: _module("socket").setdefaulttimeout(value),
    ),
    Setting(
        "csv field size",
        "csv",
        lambda: _module("csv").field_size_limit(),
        lambda value: _module("csv").field_size_limit(value),
    ),
    Setting(
        "scikit-learn",
        "sklearn",
        lambda: dict(_module("sklearn").get_config()),
        lambda changes: _module("sklearn").set_config(**changes),
        delta=True,
    ),
    Setting(
        "xarray",
        "xarray",
        lambda: dict(_module("xarray").get_options()),
        lambda changes: _module("xarray").set_options(**changes),
        delta=True,
    ),
    Setting("plotly", "plotly.io", _read_templates, _write_templates),
    Setting("altair", "altair", _read_altair, _write_altair),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
