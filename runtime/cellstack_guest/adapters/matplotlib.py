"""matplotlib: its parameters, and with them the backend; the figures that pyplot has open; callbacks."""

from __future__ import annotations

import contextlib
import os
import sys
import types
from typing import Any

from cellstack_guest.hooks import held
from cellstack_guest.settings import Setting, module

_BACKEND = "backend"
BY_MAGIC = (_BACKEND, "interactive")  # parameters that `%matplotlib` sets
_FILE = "matplotlibrc"


def _read_rc_params() -> dict[str, Any]:
    # Not through the mapping's own methods: they resolve the backend and thereby import it.
    params: dict[str, Any] = dict(list(dict.items(module("matplotlib").rcParams)))
    if not isinstance(params.get(_BACKEND), str):
        params.pop(_BACKEND, None)
    return params


def _write_rc_params(changes: dict[str, Any]) -> None:
    matplotlib = module("matplotlib")
    backend = changes.pop(_BACKEND, None)
    matplotlib.rcParams.update(changes)
    if backend is None or dict.get(matplotlib.rcParams, _BACKEND) == backend:
        return
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        matplotlib.rcParams[_BACKEND] = backend
    else:
        # That a cell has no display for it was said in the cell that has chosen it.
        with contextlib.suppress(module("IPython.core.error").UsageError):
            pyplot.switch_backend(backend)


# Whose callbacks are connected anew with every canvas.
_OF_CANVAS = ("matplotlib.backend", "matplotlib._pylab_helpers", "matplotlib_inline.")


def _read_figures() -> list[Any] | None:
    managers = module("matplotlib._pylab_helpers").Gcf.figs.values()
    return [manager.canvas.figure for manager in managers] or None


def _write_figures(figures: list[Any]) -> None:
    """Make the last of the figures, which have opened themselves when they were loaded, the current one."""
    registry = module("matplotlib._pylab_helpers").Gcf
    for figure in figures:
        registry.set_active(figure.canvas.manager)


def reduce_figure(figure: Any) -> Any:
    """Return the reduction of a figure: its own, its number in pyplot, and its manager where that goes on."""
    state = figure.__getstate__()
    manager = figure.canvas.manager if state.pop("_restore_to_pylab", False) else None
    number = None if manager is None else manager.num
    live = None
    if type(manager).__module__.startswith("ipympl."):  # its canvas is a widget, which a browser shows
        live = manager, figure.canvas
    return (object.__new__, (type(figure),), (state, number, live), None, None, set_figure)


def set_figure(figure: Any, state: tuple[dict[str, Any], Any, tuple[Any, Any] | None]) -> None:
    """Fill a figure, and open it under its number if it was open and that is free."""
    attributes, number, live = state
    registry = module("matplotlib._pylab_helpers").Gcf if number is not None else None
    if registry is None or number in registry.figs:
        figure.__setstate__(attributes)
    elif live is None:
        figure.__setstate__(attributes | {"_restore_to_pylab": True})
        _take_off_drawing_list(figure)
        manager = registry.figs.pop(figure.canvas.manager.num)
        manager.num = number
        registry._set_new_active_manager(manager)  # noqa: SLF001
    else:
        manager, canvas = live  # which have the figure, and may be still without what they hold
        figure.__setstate__(attributes)
        figure.set_canvas(canvas)
        figure._canvas_callbacks.connect("button_press_event", lambda _: registry.set_active(manager))  # noqa: SLF001
        registry.figs[number] = manager


def _take_off_drawing_list(figure: Any) -> None:
    """Have the inline backend not show a figure again for having been opened again."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    if inline is not None and figure in (listed := inline.show._to_draw):  # noqa: SLF001
        listed.remove(figure)
        inline.show._draw_called = bool(listed)  # noqa: SLF001


def reduce_callbacks(registry: Any) -> Any:
    """Return the reduction of callbacks; matplotlib's own leaves out those of a person, of a colorbar, of a slider."""
    kept = registry._pickled_cids  # noqa: SLF001
    callbacks = {
        signal: {
            number: callback
            for number, proxy in each.items()
            if (callback := proxy()) is not None and (number in kept or not _is_of_canvas(callback))
        }
        for signal, each in registry.callbacks.items()
    }
    count = int(repr(registry._cid_gen)[len("count(") : -1])  # noqa: SLF001  which asking would change
    state = {**vars(registry), "callbacks": callbacks, "_func_cid_map": None, "_cid_gen": count}
    return (object.__new__, (type(registry),), state)


def _is_of_canvas(callback: Any) -> bool:
    """Tell whether it is a canvas, or what has one, that connects this, and does so when it is made anew."""
    owner: Any = callback
    inner: list[Any] = []
    if type(callback) is types.FunctionType:
        inner = [cell.cell_contents for cell in callback.__closure__ or ()]
    else:
        owner = type(getattr(callback, "__self__", callback))
    return str(owner.__module__).startswith(_OF_CANVAS) or any(map(_is_of_canvas, inner))


def _read_file_beside_notebook() -> None:
    """Take the parameters of the notebook's folder, which an import in a cell would have read."""
    matplotlib = module("matplotlib")
    if os.path.isfile(_FILE):
        params = matplotlib.rc_params_from_file(_FILE, use_default_template=False)
        params.pop(_BACKEND, None)
        matplotlib.rcParams.update(params)
        matplotlib.rcParamsOrig.update(params)


AFTER_FORK = (("matplotlib", _read_file_beside_notebook),)
SETTINGS = (Setting("matplotlib", "matplotlib", _read_rc_params, _write_rc_params, delta=True),)
HOOKS = (held("open figures", "matplotlib.pyplot", _read_figures, _write_figures),)
HANDLERS = {
    ("matplotlib.figure", "Figure"): reduce_figure,
    ("matplotlib.cbook", "CallbackRegistry"): reduce_callbacks,
}
FIXED = (
    ("matplotlib", "rcParams"),
    ("matplotlib", "rcParamsDefault"),
    ("matplotlib", "colormaps"),
    ("matplotlib", "color_sequences"),
)
