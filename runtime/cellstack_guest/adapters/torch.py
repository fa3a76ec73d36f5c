"""PyTorch: its generator and modes; memory and gradients of tensors; what optimizers are besides their parameters."""

from __future__ import annotations

import sys
import types
import weakref
from pickle import PickleBuffer
from typing import Any

from cellstack_guest.calls import Maker
from cellstack_guest.hooks import held
from cellstack_guest.reducers import refuse
from cellstack_guest.settings import Setting, by_calls, module

_OPERATORS = "torch._library.custom_ops"
_NO_GRAPH = "the graph of a tensor cannot be carried: call backward() in the cell that computed it"
_carried_graphs: dict[str, Any] = {}
# The arrays whose memory storages have borrowed, and keep alive: by address and bytes.
_lenders: dict[tuple[int, int], weakref.ref[Any]] = {}


def _read_generator() -> bytes:
    state: bytes = module("torch").get_rng_state().numpy().tobytes()
    return state


def _write_generator(state: bytes) -> None:
    torch = module("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _read_deterministic() -> tuple[bool, bool]:
    torch = module("torch")
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _write_deterministic(value: tuple[bool, bool]) -> None:
    on, warn_only = value
    module("torch").use_deterministic_algorithms(on, warn_only=warn_only)


def _read_anomaly() -> tuple[bool, bool]:
    torch = module("torch")
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _write_anomaly(value: tuple[bool, bool]) -> None:
    module("torch.autograd").set_detect_anomaly(*value)


def _read_device() -> str | None:
    # Not get_default_device(), which looks at all modes first.
    context = getattr(module("torch")._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # noqa: SLF001
    return None if context is None else str(context.device)


def reduce_tensor(tensor: Any) -> Any:
    """Return the reduction of a tensor: its own, with its gradient.

    One that was computed from others does not bring its graph, and its `backward` says so.
    """
    if tensor.is_leaf:
        if not tensor.requires_grad or tensor.grad is None:
            return NotImplemented
        make, arguments = tensor.__reduce_ex__(2)
        return (make, arguments, tensor.grad, None, None, set_gradient)
    if tensor._backward_hooks:  # noqa: SLF001
        return refuse(tensor, "with hooks on what it was computed from")
    return (make_computed, (tensor.detach(), type(tensor.grad_fn).__name__))


def set_gradient(tensor: Any, gradient: Any) -> None:
    """Give a tensor its gradient."""
    tensor.grad = gradient


def make_computed(tensor: Any, name: str) -> Any:
    """Return the tensor as one that was computed by `name`, "AddBackward0", but has no graph to go back through."""
    torch = module("torch")
    if name not in _carried_graphs:

        def forward(context: Any, values: Any, _: Any) -> Any:
            context.mark_dirty(values)  # it is given back itself, and no view of it
            return values

        def backward(_: Any, *__: Any) -> Any:
            raise RuntimeError(_NO_GRAPH)

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        made = type(name, (torch.autograd.Function,), methods)
        made._backward_cls.__name__ = name  # type: ignore[attr-defined]  # noqa: SLF001
        _carried_graphs[name] = made
    with torch.enable_grad():
        return _carried_graphs[name].apply(tensor, torch.empty(0, requires_grad=True, device="cpu"))


def reduce_storage(storage: Any) -> Any:
    """Return the reduction of the memory of tensors, which those that look into it share again."""
    if storage.device.type != "cpu":
        return NotImplemented
    lender = _lenders.get(_extent(storage), lambda: None)()
    if lender is not None:
        return (borrow_storage, (lender,))
    return (make_storage, (PickleBuffer(bytes_of(storage)),))


def _extent(storage: Any) -> tuple[int, int]:
    return storage.data_ptr(), storage.nbytes()


def _note_lender(tensor: Any, array: Any = None, **_: Any) -> None:
    """Note that a tensor was made of an array, where it looks into its memory."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not isinstance(array, numpy.ndarray) or tensor.device.type != "cpu":
        return
    address, size = _extent(tensor.untyped_storage())
    if size and address == array.__array_interface__["data"][0]:
        _lenders[address, size] = weakref.ref(array)


def borrow_storage(array: Any) -> Any:
    """Return the memory of an array as memory for tensors."""
    tensor = module("torch").from_numpy(array)
    _note_lender(tensor, array)
    return tensor.untyped_storage()


def make_storage(buffer: Any) -> Any:
    """Return memory for tensors with this content: a copy, since what is mapped could not be resized."""
    data = memoryview(buffer)
    storage = module("torch").UntypedStorage(data.nbytes)
    if data.nbytes:
        bytes_of(storage)[:] = data
    return storage


def bytes_of(storage: Any) -> Any:
    """Return an array of the bytes of a storage, which looks into it."""
    torch = module("torch")
    return torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage).numpy()


def reduce_typed_storage(storage: Any) -> Any:
    """Return the reduction of a storage that knows its type."""
    return (make_typed_storage, (storage._untyped_storage, storage.dtype))  # noqa: SLF001


def make_typed_storage(storage: Any, dtype: Any) -> Any:
    """Return a storage as one that knows its type."""
    return module("torch").storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def reduce_optimizer(optimizer: Any) -> Any:
    """Return the reduction of an optimizer with its hooks, and with what schedulers have put on it."""
    return (make_optimizer, (type(optimizer),), dict(vars(optimizer)), None, None, set_optimizer)


def make_optimizer(cls: Any) -> Any:
    """Return an empty optimizer of a class that is ready for its hooks."""
    optimizer = cls.__new__(cls)
    optimizer._patch_step_function()  # noqa: SLF001
    return optimizer


def set_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Fill an optimizer."""
    optimizer.__setstate__(state)


def _read_operators() -> dict[str, Any] | None:
    operators = dict(module(_OPERATORS).OPDEFS)
    return {name: each for name, each in operators.items() if each._init_fn.__module__ == "__main__"} or None  # noqa: SLF001


def _write_operators(_: dict[str, Any]) -> None:
    """Do nothing: they have registered themselves when they were made."""


def reduce_operator(operator: Any) -> Any:
    """Return the reduction of an operator of the notebook's: the same functions, registered again."""
    known = vars(operator)
    function = known["_init_fn"]
    others = ("_torch_dispatch_fns", "_vmap_fn", "_autocast_dtype", "_disabled_kernel", "_used_triton_kernels")
    kernels = known["_backend_fns"].values()
    if any(map(known.get, others)) or not all(_wraps(kernel, function) for kernel in kernels):
        return refuse(operator, "with more than one kernel")
    arguments = tuple(known[name] for name in ("_namespace", "_name", "_schema", "_init_fn"))
    state = tuple(known[name] for name in ("_abstract_fn", "_backward_fn", "_setup_context_fn"))
    devices = list(known["_backend_fns"])
    return (make_operator, (type(operator), *arguments, known["_tags"]), (devices, *state), None, None, set_operator)


def _wraps(kernel: Any, function: Any) -> bool:
    inner = [cell.cell_contents for cell in getattr(kernel, "__closure__", None) or ()]
    return kernel is function or any(_wraps(each, function) for each in inner if type(each) is types.FunctionType)


def make_operator(cls: Any, *arguments: Any) -> Any:
    """Return an operator without kernels."""
    return cls(*arguments)


def set_operator(operator: Any, state: tuple[list[str | None], Any, Any, Any]) -> None:
    """Give an operator its kernels, what tells the shape of its result, and its derivative."""
    devices, fake, backward, setup = state
    for device in devices:
        operator.register_kernel(device)(operator._init_fn)  # noqa: SLF001
    if fake is not None:
        operator.register_fake(fake)
    if backward is not None:
        operator.register_autograd(backward, setup_context=setup)


SETTINGS = (
    Setting("torch", "torch", _read_generator, _write_generator),
    by_calls("torch default dtype", "torch", "get_default_dtype", "set_default_dtype"),
    Setting("torch default device", "torch", _read_device, lambda device: module("torch").set_default_device(device)),
    by_calls("torch gradients", "torch", "is_grad_enabled", "set_grad_enabled"),
    by_calls("torch threads", "torch", "get_num_threads", "set_num_threads"),
    Setting("torch deterministic algorithms", "torch", _read_deterministic, _write_deterministic),
    by_calls("torch matmul precision", "torch", "get_float32_matmul_precision", "set_float32_matmul_precision"),
    Setting("torch anomaly detection", "torch", _read_anomaly, _write_anomaly),
)
HOOKS = (held("operators", _OPERATORS, _read_operators, _write_operators),)
MAKERS = tuple(Maker("torch", name, _note_lender) for name in ("from_numpy", "as_tensor", "asarray"))
HANDLERS = {
    (_OPERATORS, "CustomOpDef"): reduce_operator,
    ("torch", "Tensor"): reduce_tensor,
    ("torch.storage", "TypedStorage"): reduce_typed_storage,
    ("torch.storage", "UntypedStorage"): reduce_storage,
    ("torch.optim.optimizer", "Optimizer"): reduce_optimizer,
}
