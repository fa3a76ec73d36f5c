"""jax: options that live in C, what is registered as a tree, compiled functions."""

from __future__ import annotations

from typing import Any

from cellstack_guest.calls import Calls
from cellstack_guest.settings import Setting, module


def _read_options() -> dict[str, Any]:
    return dict(module("jax._src.config").config.values)


def _write_options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        module("jax._src.config").config.update(name, value)


def reduce_compiled(compiled: Any) -> Any:
    """Return the reduction of a function that is compiled when it is called: the function, and how."""
    attributes = dict(vars(compiled))
    if not {"_fun", "_jit_info"} <= attributes.keys():
        return NotImplemented
    return (make_compiled, (attributes.pop("_fun"), attributes.pop("_jit_info")))


def make_compiled(function: Any, options: Any) -> Any:
    """Return a function that is compiled when it is called."""
    return module("jax._src.pjit")._cpp_pjit(function, options)  # noqa: SLF001


def _reduce_device(device: Any) -> Any:
    return (device_of, (device.platform, device.id))


def device_of(platform: str, number: int) -> Any:
    """Return a device of this process."""
    return next(each for each in module("jax").devices(platform) if each.id == number)


def _reduce_traceback(_traceback: Any) -> Any:
    """Return the reduction of where a program was traced, which is of the process: of none, which programs may have."""
    return (type(None), ())


_REGISTERING = (
    *("register_pytree_node", "register_pytree_node_class", "register_pytree_with_keys", "register_static"),
    *("register_pytree_with_keys_class", "register_dataclass"),
)
SETTINGS = (Setting("jax options", "jax._src.config", _read_options, _write_options, delta=True),)
CALLS = (Calls("trees", "jax._src.tree_util", _REGISTERING, also="jax.tree_util"),)
HANDLERS = {
    ("jaxlib._jax", "PjitFunction"): reduce_compiled,
    ("jaxlib._jax", "Device"): _reduce_device,
    ("jaxlib._jax", "Traceback"): _reduce_traceback,
}
