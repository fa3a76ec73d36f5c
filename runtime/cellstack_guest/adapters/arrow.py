"""pyarrow and polars: settings in C, what is registered with them, objects that are made by calls."""

from __future__ import annotations

import os
from typing import Any

from cellstack_guest.calls import Calls, Maker, arguments_of
from cellstack_guest.reducers import refuse
from cellstack_guest.settings import Setting, module


def _read_pool() -> str:
    name: str = module("pyarrow").default_memory_pool().backend_name
    return name


def _write_pool(name: str) -> None:
    pyarrow = module("pyarrow")
    pyarrow.set_memory_pool(getattr(pyarrow, f"{name}_memory_pool")())


def _read_threads() -> tuple[int, int]:
    pyarrow = module("pyarrow")
    return pyarrow.cpu_count(), pyarrow.io_thread_count()


def _write_threads(counts: tuple[int, int]) -> None:
    pyarrow = module("pyarrow")
    pyarrow.set_cpu_count(counts[0])
    pyarrow.set_io_thread_count(counts[1])


def _read_formats() -> dict[Any, Any]:
    readers = getattr(module("polars.config"), "_POLARS_CFG_DIRECT_VARS", {})
    environment: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    noted = {name: value for name, value in environment.items() if name.startswith(b"POLARS_")}
    return noted | {name: read() for name, read in readers.items()}


def _write_formats(changes: dict[Any, Any]) -> None:
    """Set what is not in the environment; what is there polars reads once, and is told to read again."""
    config = module("polars.config")
    for name, value in changes.items():
        if isinstance(name, str):
            getattr(config.Config, name)(value)
    if hasattr(config.plr, "config_reload_env_vars"):
        config.plr.config_reload_env_vars()


def reduce_tensor(tensor: Any) -> Any:
    """Return the reduction of a tensor of Arrow: over an array with the same content."""
    return (make_tensor, (tensor.to_numpy(), tensor.dim_names))


def make_tensor(array: Any, names: Any) -> Any:
    """Return a tensor of Arrow."""
    return module("pyarrow").Tensor.from_numpy(array, names or None)


def reduce_memory_map(file: Any) -> Any:
    """Return the reduction of a file that is mapped into memory: the same file, opened again where it was."""
    made = arguments_of(file)
    if made is None or file.closed:
        return refuse(file)
    return (open_memory_map, made, file.tell(), None, None, seek)


def open_memory_map(arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Map a file into memory."""
    return module("pyarrow").memory_map(*arguments, **options)


def seek(file: Any, position: int) -> None:
    """Go to a place in a file."""
    file.seek(position)


def reduce_series(series: Any) -> Any:
    """Return the reduction of a series of Python objects, which polars cannot pickle; others it can."""
    if series.dtype != module("polars").Object:
        return NotImplemented
    return (make_series, (series.name, series.to_list()))


def make_series(name: str, values: list[Any]) -> Any:
    """Return a series of Python objects."""
    polars = module("polars")
    return polars.Series(name, values, dtype=polars.Object)


def reduce_frame(frame: Any) -> Any:
    """Return the reduction of a frame with a column of Python objects: that of its columns."""
    if module("polars").Object not in frame.dtypes:
        return NotImplemented
    return (type(frame), (frame.get_columns(),))


def reduce_context(context: Any) -> Any:
    """Return the reduction of what SQL is run in: another one with the same frames."""
    if getattr(context, "_catalogs", None):
        return refuse(context, "with catalogs")
    frames = {name: context.execute(f'SELECT * FROM "{name}"', eager=False) for name in context.tables()}  # noqa: S608
    return (make_context, (frames, context._eager_execution))  # noqa: SLF001


def make_context(frames: dict[str, Any], eager: bool) -> Any:
    """Return what SQL is run in."""
    return module("polars").SQLContext(frames, eager=eager)


SETTINGS = (
    Setting("pyarrow memory pool", "pyarrow", _read_pool, _write_pool),
    Setting("pyarrow threads", "pyarrow", _read_threads, _write_threads),
    Setting("polars formats", "polars", _read_formats, _write_formats, delta=True),
)
CALLS = (
    Calls("extension types", "pyarrow", ("register_extension_type", "unregister_extension_type")),
    Calls(
        "functions",
        "pyarrow.compute",
        (
            *("register_scalar_function", "register_vector_function", "register_aggregate_function"),
            "register_tabular_function",
        ),
    ),
    Calls("random seed", "polars", ("set_random_seed",), "it cannot be read; set it in the cell that uses it"),
)
MAKERS = (Maker("pyarrow", "memory_map"),)
HANDLERS = {
    ("pyarrow.lib", "MemoryMappedFile"): reduce_memory_map,
    ("pyarrow.lib", "Tensor"): reduce_tensor,
    ("polars.series.series", "Series"): reduce_series,
    ("polars.sql.context", "SQLContext"): reduce_context,
    ("polars.dataframe.frame", "DataFrame"): reduce_frame,
}
