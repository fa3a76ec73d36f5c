"""sympy: parameters of the thread, how IPython prints expressions, objects whose own pickling loses something."""

from __future__ import annotations

from typing import Any

from cellstack_guest.hooks import held
from cellstack_guest.reducers import fill, the_shell
from cellstack_guest.settings import Setting, module

_PRINTING = "sympy.interactive.printing"


def _read_parameters() -> dict[str, Any]:
    return dict(vars(module("sympy.core.parameters").global_parameters))


def _write_parameters(parameters: dict[str, Any]) -> None:
    for name, value in parameters.items():
        setattr(module("sympy.core.parameters").global_parameters, name, value)


def _read_printers() -> dict[str, dict[type, Any]] | None:
    """Return what init_printing has registered, by MIME type."""
    shell = the_shell()
    formatters = {} if shell is None else shell.display_formatter.formatters
    if not formatters or not _is_printer(formatters["text/plain"].type_printers.get(float)):  # always one of them
        return None
    found = {
        name: {cls: printer for cls, printer in formatter.type_printers.items() if _is_printer(printer)}
        for name, formatter in formatters.items()
    }
    return {name: printers for name, printers in found.items() if printers}


def _is_printer(printer: Any) -> bool:
    return getattr(printer, "__module__", None) == _PRINTING


def _write_printers(printers: dict[str, dict[type, Any]]) -> None:
    shell = the_shell()
    for name, each in printers.items():
        shell.display_formatter.formatters[name].type_printers.update(each)


def reduce_group(group: Any) -> Any:
    """Return the reduction of a group of permutations, with what is known of it."""
    return (type(group), tuple(group.args), dict(vars(group)), None, None, fill)


def reduce_ring(ring: Any) -> Any:
    """Return the reduction of a ring of polynomials, or of a field: it is made once, and found again."""
    return (type(ring), (ring.symbols, ring.domain, ring.order))


SETTINGS = (Setting("sympy parameters", "sympy.core.parameters", _read_parameters, _write_parameters),)
HOOKS = (held("printers", _PRINTING, _read_printers, _write_printers),)
FIXED = (("sympy.core.parameters", "global_parameters"),)
HANDLERS = {
    ("sympy.combinatorics.perm_groups", "PermutationGroup"): reduce_group,
    ("sympy.polys.rings", "PolyRing"): reduce_ring,
    ("sympy.polys.fields", "FracField"): reduce_ring,
}
