"""numpy: the global generator, how arrays are printed, and what is done about errors."""

from __future__ import annotations

from typing import Any

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


def _read_print_options() -> Any:
    options = module("numpy").get_printoptions()
    options.pop("override_repr", None)
    return options


def _write_print_options(options: dict[str, Any]) -> None:
    module("numpy").set_printoptions(**options)


def _write_numpy_errors(value: dict[str, Any]) -> None:
    module("numpy").seterr(**value)


SETTINGS = (
    Setting("numpy.random", "numpy.random", _read_numpy_random, _write_numpy_random),
    Setting("numpy print options", "numpy", _read_print_options, _write_print_options),
    Setting("numpy errors", "numpy", lambda: module("numpy").geterr(), _write_numpy_errors),
)
FIXED = (("numpy.random.mtrand", "_rand"),)
