"""What tests share: a store of their own, reasons to skip, and the traces that Cellstack has on this machine.

CELLSTACK_TEST_HOME=DIRECTORY keeps the store there from one test run to the next; without it the image is
built once per run, in a directory that is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
WITH_CONTAINERS = {
    "system": "system",
    "kernel": "kernel",
    "conformance": "kernel",
    "lab": "kernel",
    "security": "system",
    "vm": "system",
}
LAST = "test_nothing_left.py"
_UNSHARE = """
import sys
from cellstack_runtime import abi, syscalls
try:
    syscalls.unshare(abi.CLONE_NEWUSER)
except OSError as error:
    sys.exit(str(error))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, skip what this machine or user cannot run, look for leftovers last."""
    folders = {item: item.path.relative_to(REPOSITORY / "tests").parts[0] for item in items}
    for item, folder in folders.items():
        if folder in WITH_CONTAINERS:
            item.add_marker(getattr(pytest.mark, WITH_CONTAINERS[folder]))
    needs_root = pytest.mark.skip(reason="needs root")
    reason = None
    if any(folder in WITH_CONTAINERS for folder in folders.values()):
        reason = why_no_containers()
    for item, folder in folders.items():
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(needs_root)
        if reason and folder in WITH_CONTAINERS:
            item.add_marker(pytest.mark.skip(reason=reason))
    items.sort(key=lambda item: item.path.name == LAST)


def why_no_containers() -> str | None:
    """Return why this user can start no container on this machine; None when there is no reason."""
    tried = subprocess.run([sys.executable, "-c", _UNSHARE], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    return f"no user namespaces here ({tried.stderr.strip()}); see `cellstack doctor`"


@pytest.fixture(scope="session", autouse=True)
def store() -> Iterator[Path]:
    """Give the whole test run one store and one runtime directory; return the store's path.

    /var/tmp is on a disk where /tmp may be in memory: the image of an environment is large.
    """
    kept = os.environ.get("CELLSTACK_TEST_HOME")
    disk = "/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()
    home = kept or tempfile.mkdtemp(prefix="cellstack-tests-", dir=disk)
    runtime = tempfile.mkdtemp(prefix="cellstack-run-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLSTACK_HOME", home)
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        patch.delenv("JUPYTER_RUNTIME_DIR", raising=False)
        yield Path(home)
    remove_tree(runtime)
    if not kept:
        remove_tree(home)


def remove_tree(path: str) -> None:
    """Remove a tree in which a container may have taken directories' permissions away."""
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def cellstack() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line: `cellstack("run", "default", "true", env={...}, cwd=…)`.

    Options are those of subprocess.run; `env` is added to the environment; `wrapper` goes before the command.
    """
    command = str(Path(sys.executable).with_name("cellstack"))

    def run(
        *arguments: str | Path,
        env: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        defaults = {
            "capture_output": True,
            "text": True,
            "timeout": 600,
            "stdin": subprocess.DEVNULL,
        }
        words = [*wrapper, command, *map(str, arguments)]
        return subprocess.run(words, check=False, env={**os.environ, **(env or {})}, **{**defaults, **options})

    return run


@pytest.fixture(scope="session", autouse=True)
def default_image(
    request: pytest.FixtureRequest, store: Path, cellstack: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Build the default image before the first test with containers, whose time limits do not count it."""
    del store
    if any(item.get_closest_marker("system") or item.get_closest_marker("kernel") for item in _wanted(request)):
        built = cellstack("run", "default", "true")
        assert built.returncode == 0, f"the default image cannot be built:\n{built.stdout}{built.stderr}"


def _wanted(request: pytest.FixtureRequest) -> list[pytest.Item]:
    return [item for item in request.session.items if not item.get_closest_marker("skip")]


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Return a function that writes a notebook of code cells: `write_notebook(path, "x = 1", "x")`."""

    def write(path: Path, *sources: str, metadata: dict[str, Any] | None = None) -> Path:
        cells: list[dict[str, Any]] = [
            {"cell_type": "code", "id": f"cell-{i}", "source": source, "metadata": {}}
            | {"execution_count": None, "outputs": []}
            for i, source in enumerate(sources)
        ]
        kernel = {"name": "cellstack", "display_name": "Cellstack", "language": "python"}
        notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "cells": cells}
        notebook["metadata"] = {"kernelspec": kernel, **(metadata or {})}
        path.write_text(json.dumps(notebook))
        return path

    return write


@pytest.fixture
def program(store: Path) -> Iterator[Callable[..., live.Container]]:
    """Return a function that starts `cellstack run` and returns its container once it runs."""
    started = []

    def start(*arguments: str) -> live.Container:
        image = [] if "default" in arguments else ["default"]  # behind options, if there are any
        command = [str(Path(sys.executable).with_name("cellstack")), "run", *image, *arguments]
        known = {one.id for one in live.live_containers(str(store))}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        started.append(process)
        while process.poll() is None:
            for one in live.live_containers(str(store)):
                if one.id not in known and one.status == "running":
                    return one
        raise AssertionError(f"{command} left with {process.returncode}")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session", autouse=True)
def leftovers(store: Path) -> Callable[[], set[str]]:
    """Return a function that says what Cellstack has on this machine now and had not before the tests.

    What goes away by itself within ten seconds is not a leftover: cgroups and mounts are released behind the
    back of the one who waits for a result.
    """
    before = traces(store)

    def now() -> set[str]:
        deadline = time.monotonic() + 10
        while (left := traces(store) - before) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    return now


def traces(home: Path) -> set[str]:
    """Return mounts, cgroups, processes and temporary files of Cellstack, each as one readable line."""
    return {*_mounts(home), *_cgroups(), *_processes(home), *_files(home)}


def _mounts(home: Path) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if "cellstack" in line or str(home) in line:
            yield f"mount {line.split()[4]}"


def _cgroups() -> Iterator[str]:
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.startswith("cellstack"):
                yield f"cgroup {folder}/{name}"


def _processes(home: Path) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if "cellstack_" not in command or int(process.name) == os.getpid():
                continue
            environment = (process / "environ").read_bytes().split(b"\0")
            homes = [entry for entry in environment if entry.startswith(b"CELLSTACK_HOME=")]
            if not homes or homes == [f"CELLSTACK_HOME={home}".encode()]:
                yield f"process {process.name}: {command[:200]}"


def _files(home: Path) -> Iterator[str]:
    for folder in (home / "runs", Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "cellstack"):
        if folder.is_dir():
            yield from (f"file {path}" for path in folder.iterdir())
    for folder in {Path("/tmp"), Path(tempfile.gettempdir())}:
        yield from (f"file {path}" for path in folder.glob("cellstack*") if not path.name.startswith("cellstack-run-"))
