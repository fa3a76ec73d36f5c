"""Test suites of other projects, run with this kernel and with ipykernel: what passes there passes here.

The suites come from the source distributions of the versions that are installed, fetched by tests/setup/conformance.sh.
They start kernels by the name `python3`, which a folder on JUPYTER_PATH gives to ours. What is expected to fail, and
why, is in exceptions.toml. A test that failed is run once more alone: these suites wait for fixed times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).resolve().parents[2]
EXCEPTIONS = tomllib.loads((Path(__file__).parent / "exceptions.toml").read_text())
SECONDS = 60  # for each of their tests
# Plugins are found by this process alone: with PYTHONPATH each kernel would have another environment and another image.
PYTEST = "import sys; sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]; import pytest; sys.exit(pytest.main())"
WAITS = "not run: "  # how the reason begins of a test that would not end by itself


@dataclass(frozen=True)
class Suite:
    """What is run of a distribution: paths in it, and options for pytest."""

    paths: tuple[str, ...]
    options: tuple[str, ...] = ()


IPYKERNEL = ("test_message_spec", "test_kernel", "test_subshells", "test_debugger", "test_async")
SUITES = {
    "ipykernel": Suite(tuple(f"tests/{name}.py" for name in IPYKERNEL)),
    "nbclient": Suite(("tests",)),
    "jupyter_kernel_test": Suite(("test_ipykernel.py",), ("-c", os.devnull)),
}


@pytest.fixture(scope="module")
def fetched() -> Path:
    """Return the folder with the suites."""
    script = REPOSITORY / "tests" / "setup" / "conformance.sh"
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot fetch the source distributions: {last}")
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for JUPYTER_PATH in which python3 is our kernel."""
    spec = json.loads((REPOSITORY / "kernel" / "spec" / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    folder = tmp_path_factory.mktemp("jupyter")
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(spec))
    return folder


def run(fetched: Path, name: str, tests: Sequence[str], scratch: Path, jupyter_path: Path | None) -> dict[str, str]:
    """Run tests of a suite in a process of their own; return "passed", "failed" or "skipped" of each."""
    suite = SUITES[name]
    folder = next(path for path in fetched.glob(f"{name}-*") if path.is_dir())
    scratch.mkdir()
    report = scratch / "report.xml"
    env = {**os.environ, "TMPDIR": str(scratch), "PYTEST_ADDOPTS": ""}
    if jupyter_path is not None:
        env["JUPYTER_PATH"] = str(jupyter_path)
    command = [sys.executable, "-c", PYTEST, str(fetched / "plugins"), str(Path(__file__).parent)]
    command += ["-q", "-p", "late_answers", "-p", "no:cacheprovider", f"--timeout={SECONDS}"]
    command += [f"--junitxml={report}", "-o", "junit_family=xunit1"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function", *suite.options]
    if jupyter_path is not None:
        command += [f"--deselect={test}" for test in waiting(name)]
    done = subprocess.run([*command, *tests], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert report.exists(), f"{name} did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return outcomes(report)


def waiting(name: str) -> list[str]:
    """Return the tests of a suite that would wait for ever."""
    return [test.removesuffix("[*]") for test, why in EXCEPTIONS.get(name, {}).items() if why.startswith(WAITS)]


def outcomes(report: Path) -> dict[str, str]:
    """Return what a JUnit report says, by pytest's name of each test."""
    found: dict[str, str] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        name = f"{case.get('file')}::{_inside(case)}{case.get('name')}"
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        if found.get(name) != "failed":  # an error at the end of a test is a case of its own
            found[name] = outcome
    return found


def _inside(case: ET.Element) -> str:
    """Return the class of a test as "Class::"."""
    module = (case.get("file") or "").removesuffix(".py").replace("/", ".")
    inner = (case.get("classname") or "").removeprefix(module).strip(".")
    return "".join(f"{part}::" for part in inner.split(".") if part)


@pytest.mark.parametrize("name", SUITES)
def test_what_passes_with_ipykernel_passes_here(
    name: str, fetched: Path, ours: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    with ThreadPoolExecutor(2) as threads:
        mine = threads.submit(run, fetched, name, SUITES[name].paths, tmp_path / "here", ours)
        theirs = threads.submit(run, fetched, name, SUITES[name].paths, tmp_path / "there", None)
        here, there = mine.result(), theirs.result()
    expected = {test for test in there if any(_matches(test, pattern) for pattern in EXCEPTIONS.get(name, {}))}
    again = [test for test in here if here[test] == "failed" and test not in expected]
    if again:
        here |= run(fetched, name, again, tmp_path / "again", ours)
    wanted = {test for test, outcome in there.items() if outcome == "passed"}
    reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    passed = sum(here.get(test) == "passed" for test in wanted)
    reporter.write_line(f"{name}: {len(wanted)} pass with ipykernel, {passed} of them here, {len(expected)} cannot")
    assert wanted, "nothing passes with ipykernel itself"
    assert {test: here.get(test) for test in wanted - expected if here.get(test) != "passed"} == {}
    assert [test for test in sorted(expected) if here.get(test) == "passed"] == [], "exceptions that are none any more"
    unknown = [p for p in EXCEPTIONS.get(name, {}) if not any(_matches(test, p) for test in there)]
    assert unknown == [], "exceptions for tests that are not there"


def _matches(test: str, pattern: str) -> bool:
    return test == pattern or (pattern.endswith("[*]") and test.startswith(pattern[:-2]))
