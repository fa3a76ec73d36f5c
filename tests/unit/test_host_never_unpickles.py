"""Host code never unpickles, imports or executes what came out of a container: it has not the means to."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = ("runtime/cellstack_runtime", "kernel/cellstack_kernel")
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# The distributions that are given to the guest are named by the host, which imports none of them.
NAMED = {"runtime/cellstack_runtime/image/guest.py": ["the name 'cloudpickle' as a string"]}
# Attributes through which a value becomes code, whatever module they are taken from.
LOADERS = {"exec_module", "load_module", "read_pickle", "run_path", "run_module"}


def host_files() -> list[Path]:
    return [path for folder in HOST for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def means_to_execute(source: str) -> Iterator[str]:
    """Yield "line N: what" for each place that could turn bytes into objects or code."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names if alias.name.split(".")[0] in MODULES]
            case ast.ImportFrom(module=module) if module is not None:
                found = [module] if module.split(".")[0] in MODULES else []
            case ast.Call(func=ast.Name(id=name)):
                found = [f"{name}()"] if name in BUILTINS else []
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                dangerous = name in LOADERS or (module == "builtins" and name in BUILTINS)
                found = [f"{module}.{name}"] if dangerous else []
            case ast.Constant(value=str(name)):
                found = [f"the name {name!r} as a string"] if name in MODULES else []
            case _:
                found = []
        for what in found:
            yield f"line {getattr(node, 'lineno', '?')}: {what}"


@pytest.mark.parametrize("path", host_files(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_host_file_has_no_means_to_execute_data(path: Path) -> None:
    found = [line.partition(": ")[2] for line in means_to_execute(path.read_text())]
    assert found == NAMED.get(str(path.relative_to(REPOSITORY)), [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from cloudpickle import loads",
        "from cloudpickle.cloudpickle import Pickler",
        "eval(text)",
        "exec(text)",
        "import builtins\nbuiltins.eval(text)",
        "import importlib\nimportlib.import_module('pickle')",
        "pandas.read_pickle(path)",
        "spec.loader.exec_module(m)\nloader.exec_module(m)",
    ],
)
def test_check_notices(source: str) -> None:
    assert list(means_to_execute(source))


@pytest.mark.parametrize("source", ["import json", "re.compile(x)", "import os\nos.execv(a, b)", "'pickled'"])
def test_check_lets_pass(source: str) -> None:
    assert list(means_to_execute(source)) == []


def test_host_code_was_found() -> None:
    assert {path.parts[len(REPOSITORY.parts)] for path in host_files()} == {"runtime", "kernel"}
