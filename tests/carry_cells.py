"""Cells with carried variables in real processes: each is forked from this one, or is a new interpreter."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import traceback
import types
from dataclasses import dataclass
from typing import Any

from cellstack_guest import adapters, api, calls, patches
from cellstack_guest.carry import Carrier


@dataclass(frozen=True)
class Ran:
    """What one cell gave: what it printed, its exception and notes as text, and what was carried."""

    printed: str
    error: str
    notes: dict[str, str | None]
    state: str | None
    saved: list[str]
    loaded: list[str]
    not_carried: dict[str, str]
    names: list[str]
    notices: list[str]
    complete: bool


class Notebook:
    """Runs cells one after another, each from the state of the one before."""

    def __init__(self, root: str, *, fresh: bool = False) -> None:
        self.root = root
        self.state: str | None = None
        self.fresh = fresh
        self._count = 0

    def run(self, code: str, *, ask: str = "") -> Ran:
        """Run a cell; AssertionError with its traceback if it raises. ask: a name to get the note of."""
        ran = self.attempt(code, ask=ask)
        assert not ran.error, ran.error
        return ran

    def attempt(self, code: str, *, ask: str = "") -> Ran:
        """Run a cell that may raise."""
        return self.together([code], ask=ask)[0]

    def together(self, codes: list[str], *, ask: str = "") -> list[Ran]:
        """Run several cells in one process."""
        request = {"root": self.root, "state": self.state, "count": self._count, "codes": codes, "ask": ask}
        self._count += len(codes)
        answers = _in_new_interpreter(request) if self.fresh else _in_fork(request)
        rans = [Ran(**answer) for answer in answers["cells"]]
        self.state = rans[-1].state
        return rans

    def show(self, expression: str) -> str:
        """Return the repr of an expression, evaluated in a cell of its own."""
        return self.run(f"print(repr({expression}), end='')").printed


def run_cells(request: dict[str, Any]) -> dict[str, Any]:
    """Run cells in this process and leave its main module in place."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.modules["cellstack"] = api
    patches.FOLDER = request["root"]
    calls.watch((*adapters.CALLS, *adapters.MAKERS))
    carrier = Carrier(main.__dict__, request["root"])
    api.connect(carrier)
    cells: list[dict[str, Any]] = []
    for number, code in enumerate(request["codes"], request["count"] + 1):
        state = cells[-1]["state"] if cells else request["state"]
        carrier.cell = f"[{number}]"
        cells.append(_run_cell(carrier, main.__dict__, state, number, code, request))
    return {"cells": cells}


def _run_cell(
    carrier: Carrier, namespace: dict[str, Any], state: str | None, number: int, code: str, request: dict[str, Any]
) -> dict[str, Any]:
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        loaded = carrier.begin(state, code)
        try:
            for statement in ast.parse(code, f"<cell {number}>").body:
                carrier.modules.before_statement(statement)
                whole = ast.Module([statement], [])
                exec(compile(whole, f"<cell {number}>", "exec", dont_inherit=True), namespace)
        except BaseException:  # noqa: BLE001 - reported to the test
            error = traceback.format_exc()
        note = carrier.note_for(request["ask"]) if request["ask"] else None
        names = sorted(carrier.names())
        carried = carrier.end(f"layer{number}", os.path.join(request["root"], f"layer{number}"))
    assert set(carried.loaded) >= set(loaded)
    return {
        "printed": printed.getvalue(),
        "error": error,
        "notes": {request["ask"]: note},
        "state": carried.state,
        "saved": carried.saved,
        "loaded": sorted(carried.loaded),
        "not_carried": carried.not_carried,
        "names": names,
        "notices": list(carrier.notices),
        "complete": carried.complete,
    }


def _in_fork(request: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            answer = json.dumps(_outcome(request)).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert text, "the cell's process died"
    return _checked(json.loads(text))


def _in_new_interpreter(request: dict[str, Any]) -> dict[str, Any]:
    program = (
        "import json, sys; from tests import carry_cells as c; print(json.dumps(c._outcome(json.load(sys.stdin))))"
    )
    path = os.pathsep.join([os.path.dirname(os.path.dirname(__file__)), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
    )
    assert ended.returncode == 0, ended.stderr
    return _checked(json.loads(ended.stdout.splitlines()[-1]))


def _outcome(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return run_cells(request)
    except BaseException:  # noqa: BLE001 - reported to the test
        return {"failed": traceback.format_exc()}


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    assert "failed" not in answer, answer["failed"]
    return answer
