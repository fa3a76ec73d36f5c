"""scipy, joblib, statsmodels: settings in C, functions of LAPACK, distributions; formulas of the notebook."""

from __future__ import annotations

import keyword
import re
import sys
import types
from typing import Any

from cellstack_guest.adapters.sqlite import set_each
from cellstack_guest.hooks import held
from cellstack_guest.reducers import module_attribute, refuse
from cellstack_guest.settings import Setting, module


def reduce_fortran(function: Any) -> Any:
    """Return the reduction of a function that f2py has made: by the module that has it, with what scipy noted on it."""
    name = function.__name__.rpartition(" ")[2]  # "function dgemm"
    for found, library in list(sys.modules.items()):
        if found.startswith("scipy.") and getattr(library, "__dict__", {}).get(name) is function:
            notes = {key: value for key, value in function.__dict__.items() if key != "__name__"}
            return (module_attribute, (found, name), notes, None, None, set_each)
    return refuse(function)


def reduce_distribution(distribution: Any) -> Any:
    """Return the reduction of a distribution, whose class makes another one when it gets no parameters."""
    return (object.__new__, (type(distribution),), dict(vars(distribution)))


def reduce_model_data(data: Any) -> Any:
    """Return the reduction of the data of a model, whose formula is read once more, with the notebook's variables.

    A function that names these variables has them loaded before.
    """
    if "model_spec" not in vars(data):
        return NotImplemented
    names = {name for name in re.findall(r"[^\W\d]\w*", str(data.formula)) if not keyword.iskeyword(name)}
    user = eval(f"lambda: ({', '.join(sorted(names))},)", vars(sys.modules["__main__"]))  # noqa: S307 - names only
    return (object.__new__, (type(data),), (data.__getstate__(), user), None, None, set_model_data)


def set_model_data(data: Any, state: tuple[dict[str, Any], types.FunctionType]) -> None:
    """Fill the data of a model, which looks for what its formula uses in the namespace of its caller."""
    attributes, user = state
    types.FunctionType(_set_state.__code__, user.__globals__)(data, attributes)


def _set_state(data: Any, attributes: dict[str, Any]) -> None:
    data.__setstate__(attributes)


def _read_backends() -> dict[str, Any] | None:
    backends = module("joblib.parallel").BACKENDS
    return {name: backend for name, backend in backends.items() if backend.__module__ == "__main__"} or None


def _write_backends(backends: dict[str, Any]) -> None:
    module("joblib.parallel").BACKENDS.update(backends)


SETTINGS = (
    Setting(
        "scipy.special errors",
        "scipy.special",
        lambda: module("scipy.special").geterr(),
        lambda errors: module("scipy.special").seterr(**errors),
    ),
)
HOOKS = (held("backends", "joblib.parallel", _read_backends, _write_backends),)
HANDLERS = {
    ("statsmodels.base.data", "ModelData"): reduce_model_data,
    ("builtins", "fortran"): reduce_fortran,
    ("scipy.stats._distribution_infrastructure", "UnivariateDistribution"): reduce_distribution,
}
