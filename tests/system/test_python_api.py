"""The runtime as a library, without Jupyter, as the README shows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cellstack_runtime import BindMount, CellstackError, Engine, Limits, RunReport, Spec

README = Path(__file__).resolve().parents[2] / "README.md"
NAMESPACES = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def python(engine: Engine, code: str, limits: Limits | None = None) -> RunReport:
    """Run a line of Python in a container, with its output captured."""
    spec = Spec(image="default", args=["python3", "-c", code], limits=limits or Limits())
    return engine.run(spec, capture_output=True)


def test_example_of_the_readme_runs() -> None:
    [example] = re.findall(r"## From Python\n\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    result = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    first, report = result.stdout.splitlines()
    assert first == "42"
    assert "reason='finished'" in report


def test_library_does_not_import_jupyter() -> None:
    code = "import cellstack_runtime, sys; cellstack_runtime.Engine; "
    code += "print(sorted({'ipykernel', 'IPython', 'jupyter_client', 'nbformat', 'zmq'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_report_says_what_the_program_did(engine: Engine) -> None:
    report = python(engine, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (report.stdout, report.stderr) == (b"out\n", b"err\n")
    assert (report.exit.reason, report.exit.code, report.exit.signal, report.exit_code) == ("finished", 7, None, 7)
    assert set(report.namespaces) == NAMESPACES
    host = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES}
    assert {name for name in NAMESPACES if report.namespaces[name] == host[name]} == set()
    assert set(report.enforced_by) == {"memory", "cpu", "pids"}
    assert {report.enforced_by[name] for name in ("memory", "pids")} <= {"cgroup", "rlimit"}
    assert report.enforced_by["cpu"] in ("cgroup", "none")
    assert report.cpu_seconds > 0
    assert 0 < report.wall_seconds < 60
    assert report.memory_peak_bytes > 2**20


def test_streams_are_not_captured_unless_asked_for() -> None:
    code = "from cellstack_runtime import Engine, Spec\nreport = Engine().run(Spec(args=['cat']))\n"
    code += "assert report.stdout is None and report.stderr is None"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, input=b"in\0put", capture_output=True, check=False, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"in\0put", b"")


def test_run_is_no_notebook(engine: Engine) -> None:
    before = {session.id for session in engine.store.sessions()}
    assert engine.run(Spec(args=["true"]), capture_output=True).exit_code == 0
    assert {session.id for session in engine.store.sessions()} == before


def test_signal_that_ended_the_program(engine: Engine) -> None:
    report = engine.run(Spec(args=["sh", "-c", "kill -SEGV $$"]), capture_output=True)
    assert (report.exit.reason, report.exit.signal, report.exit_code) == ("signal", "SIGSEGV", 128 + 11)


def test_memory_limit(engine: Engine) -> None:
    report = python(engine, "len(b'x' * 2**29)", Limits(memory="64m"))
    if report.enforced_by["memory"] == "cgroup":
        assert report.exit.reason == "oom"
        assert report.memory_peak_bytes <= 64 * 2**20
    else:  # refused by an rlimit, or seen by the supervisor
        assert report.exit.reason == "oom" or b"MemoryError" in (report.stderr or b"")
    assert report.exit_code != 0


def test_time_limit(engine: Engine) -> None:
    report = python(engine, "print('began', flush=True)\nwhile True: pass", Limits(timeout=1))
    assert (report.exit.reason, report.exit_code) == ("timeout", 128 + 9)
    assert report.stdout == b"began\n"
    assert 1 <= report.wall_seconds < 5


def test_limit_of_processes(engine: Engine) -> None:
    report = python(engine, "import os\nwhile True: os.fork()", Limits(pids=20, timeout=30))
    assert report.exit.reason in ("pids", "finished")
    assert (report.exit.reason == "pids") == (report.enforced_by["pids"] == "cgroup")
    assert b"BlockingIOError" in (report.stderr or b"")


def test_environment_folder_mounts_and_capabilities(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("in")
    spec = Spec(
        args=["sh", "-c", "echo $GREETING; pwd; cat in.txt; ! touch new 2>/dev/null; grep CapEff /proc/self/status"],
        env={"GREETING": "hello"},
        workdir="/data",
        mounts=[BindMount(str(tmp_path), "/data", read_only=True)],
        cap_drop=["ALL"],
    )
    report = engine.run(spec, capture_output=True)
    assert report.stdout == b"hello\n/data\ninCapEff:\t0000000000000000\n"


def test_what_is_wrong_is_an_error_that_names_it(engine: Engine) -> None:
    with pytest.raises(CellstackError, match="nosuchimage"):
        engine.run(Spec(image="nosuchimage"), capture_output=True)
    with pytest.raises(CellstackError, match="12x"):
        Limits(memory="12x")
    with pytest.raises(CellstackError, match="NONSENSE"):
        engine.run(Spec(cap_add=["NONSENSE"]), capture_output=True)
