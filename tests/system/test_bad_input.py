"""What is wrong is said in one sentence with what to do; the exit code tells; nothing is left half-made."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

FAILED, USAGE, HOST = 1, 2, 3


def assert_said(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert the exit code, a last line on stderr with all `words` (regular expressions), no traceback."""
    assert "Traceback" not in result.stdout + result.stderr
    [*_, line] = [line for line in result.stderr.splitlines() if line.strip()] or [""]
    missing = [word for word in words if not re.search(word, line)]
    assert (result.returncode, missing) == (code, []), result.stderr


@pytest.fixture
def notebook(tmp_path: Path, write_notebook: Callable[..., Path]) -> Path:
    return write_notebook(tmp_path / "good.ipynb", "print('ran')")


@pytest.fixture
def nothing_half_made(tmp_path: Path, store: Path) -> Iterator[None]:
    """No output notebook and no trace of a run in the store is left by a command that failed."""
    yield
    assert not list(tmp_path.glob("**/out.ipynb*"))
    assert not [path for path in (store / "runs").glob("*") if path.is_dir()]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%limits colour=red", ["colour", "memory", "timeout"]),
        ("%%container colour=red\n1", ["colour", "memory", "commit"]),
        ("%limits memory=12x", ["memory", "12x", "512m"]),
        ("%limits cpus=-1", ["cpus", "-1"]),
        ("%limits pids=1.5", ["pids", "whole number"]),
        ("%limits network=wifi", ["wifi", "none"]),
        ("%%container memory=1k\n1", ["1k", "6 MiB"]),
        ("%checkout nowhere", ["nowhere"]),
        ("%undo 99", ["99"]),
        ("%image nosuchimage", ["nosuchimage"]),
        ("%limits network=host", ["network", "--network"]),
        ("%mount /etc:/host", ["/etc", "--mount"]),
        ("%context rw", ["--context"]),
    ],
)
def test_magic_that_cannot_be_followed(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path, cell: str, words: list[str]
) -> None:
    notebook = write_notebook(tmp_path / "bad.ipynb", cell)
    result = cellstack("execute", notebook, "-o", tmp_path / "out.ipynb")
    assert result.returncode == FAILED
    assert "Traceback" not in result.stderr
    outputs = json.loads((tmp_path / "out.ipynb").read_text())["cells"][0]["outputs"]
    [error] = [output for output in outputs if output["output_type"] == "error"]
    assert [word for word in words if word not in error["evalue"]] == []
    assert "cellstack_kernel" not in "".join(error["traceback"])


@pytest.mark.usefixtures("nothing_half_made")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--tag head", USAGE, ["head", "another name"]),
        ("--tag cellstack/default", USAGE, ["environment", "another name"]),
        ("--memory 12x", USAGE, ["memory", "12x"]),
        ("--cpus many", USAGE, ["cpus", "many"]),
        ("--timeout -3", USAGE, ["timeout", "-3"]),
        ("--network wifi", USAGE, ["wifi", "none"]),
        ("--context upwards", USAGE, ["upwards"]),
        ("--colour red", USAGE, ["colour"]),
        ("--image nosuchimage", FAILED, ["no image", "nosuchimage", "cellstack images"]),
        ("--mount /nonexistent/folder:/data", FAILED, ["/nonexistent/folder"]),
        ("-p novalue", USAGE, ["novalue"]),
    ],
)
def test_option_that_cannot_be_followed(
    cellstack: Run, notebook: Path, options: str, code: int, words: list[str]
) -> None:
    output = notebook.with_name("out.ipynb")
    assert_said(cellstack("execute", notebook, "-o", output, *options.split()), code, *words)


@pytest.mark.usefixtures("nothing_half_made")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        '{"cells": 3}',
        "[]",
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        "\0\1\2",
        "\x80",
    ],
)
def test_notebook_that_is_none(cellstack: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_bytes(text.encode("latin-1"))
    result = cellstack("execute", path, "-o", tmp_path / "out.ipynb")
    assert_said(result, USAGE, "broken.ipynb", "notebook")


@pytest.mark.parametrize("target", ["nowhere/out.ipynb", "", "/proc/out.ipynb"])
def test_output_that_cannot_be_written_is_said_before_any_cell_runs(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path, target: str
) -> None:
    notebook = write_notebook(tmp_path / "a.ipynb", "open('ran', 'w').close()")
    result = cellstack("execute", notebook, "-o", tmp_path / target, "--context", "rw")
    assert_said(result, FAILED, "cannot be written")
    assert not (tmp_path / "ran").exists()


def test_links_and_hidden_files_of_a_cell_are_not_brought_out_unasked(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "notebook"
    folder.mkdir()
    notebook = write_notebook(
        folder / "a.ipynb",
        f"import os\nos.symlink({str(victim)!r}, 'out.ipynb')\n"
        f"os.makedirs('d/.git')\nopen('d/.git/config', 'w').close()\n"
        f"os.makedirs('e')\nos.symlink('/etc', 'e/link')\nopen('e/file', 'w').close()",
        "%cp out.ipynb out.ipynb",
        "%cp d d",
        "%cp e e",
    )
    result = cellstack("execute", notebook, "-o", folder / "out.ipynb", "--allow-errors", "--format", "json")
    assert [cell["status"] for cell in json.loads(result.stdout)["cells"]] == ["ok", "error", "error", "ok"]
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in folder.rglob("*")) == ["a.ipynb", "e", "file", "out.ipynb"]


@pytest.mark.usefixtures("nothing_half_made")
def test_notebook_that_does_not_exist(cellstack: Run, tmp_path: Path) -> None:
    result = cellstack("execute", tmp_path / "nowhere.ipynb", "-o", tmp_path / "out.ipynb")
    assert_said(result, USAGE, "nowhere.ipynb")


@pytest.mark.usefixtures("nothing_half_made")
@pytest.mark.parametrize(
    ("wish", "flag"),
    [
        ({"limits": {"network": "host"}}, "--network"),
        ({"context": "rw"}, "--context"),
        ({"mounts": ["/etc:/host"]}, "--mount"),
    ],
)
def test_notebook_asks_for_what_nobody_granted(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path, wish: dict[str, Any], flag: str
) -> None:
    notebook = write_notebook(tmp_path / "wish.ipynb", "print('ran')", metadata={"cellstack": wish})
    assert_said(cellstack("execute", notebook, "-o", tmp_path / "out.ipynb"), FAILED, flag)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nosuchimage", "true"], 125, ["nosuchimage"]),
        (["run", "default", "/nonexistent"], 127, ["/nonexistent"]),
        (["run", "default", "/etc"], 126, ["/etc"]),
        (["run", "--memory", "12x", "default", "true"], 125, ["12x"]),
        (["diff", "ffffffffffff"], FAILED, ["ffffffffffff"]),
        (["inspect", "ffffffffffff"], FAILED, ["ffffffffffff"]),
        (["layers", "ffffffffffff"], FAILED, ["ffffffffffff"]),
        (["nosuchverb"], USAGE, ["nosuchverb"]),
    ],
)
def test_command_about_something_that_is_not_there(
    cellstack: Run, arguments: list[str], code: int, words: list[str]
) -> None:
    assert_said(cellstack(*arguments), code, *words)


def test_store_that_cannot_be_written(cellstack: Run, notebook: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, where a folder is needed")
    home = str(tmp_path / "file" / "store")
    for arguments in (["images"], ["execute", notebook], ["layers"]):
        assert_said(cellstack(*arguments, env={"CELLSTACK_HOME": home}), FAILED, home, "CELLSTACK_HOME")


def test_store_from_a_newer_version(cellstack: Run, notebook: Path, tmp_path: Path) -> None:
    home = tmp_path / "newer"
    home.mkdir()
    (home / "store.json").write_text('{"version": 99}')
    for arguments in (["images"], ["execute", notebook]):
        assert_said(cellstack(*arguments, env={"CELLSTACK_HOME": str(home)}), FAILED, "99", r"\b1\b")
    assert [path.name for path in home.iterdir()] == ["store.json"]


@pytest.mark.parametrize("text", ["", "{", '{"version": "one"}', "[]"])
def test_store_that_is_damaged(cellstack: Run, tmp_path: Path, text: str) -> None:
    home = tmp_path / "damaged"
    home.mkdir()
    (home / "store.json").write_text(text)
    assert_said(cellstack("images", env={"CELLSTACK_HOME": str(home)}), FAILED, "store.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}'])
def test_layer_that_is_corrupt(cellstack: Run, notebook: Path, store: Path, text: str) -> None:
    executed = cellstack("execute", notebook, "--format", "json")
    layer = json.loads(executed.stdout)["cells"][0]["layer"]
    [record] = (store / "layers").glob(f"{layer}*/layer.json")
    good = record.read_text()
    record.write_text(text)
    try:
        assert_said(cellstack("diff", layer), FAILED, layer[:12], "corrupt")
        assert cellstack("run", "default", "true").returncode == 0
    finally:
        record.write_text(good)


def without_user_namespaces() -> tuple[str, ...]:
    """Return a command that runs another one where no user namespace can be made."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    return (
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        forbid,
        "sh",
    )


def without_cgroups() -> tuple[str, ...]:
    """Return a command that runs another one where no cgroup file system is mounted."""
    hide = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'
    rootless = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *rootless, "--mount", "sh", "-c", hide, "sh")


def needs(wrapper: tuple[str, ...]) -> None:
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"this host cannot be made to look so: {tried.stderr.strip()}")


def test_host_without_user_namespaces(cellstack: Run, notebook: Path) -> None:
    needs(without_user_namespaces())
    result = cellstack("execute", notebook, wrapper=without_user_namespaces())
    assert_said(result, HOST, "user namespaces", "cellstack doctor")
    doctor = cellstack("doctor", wrapper=without_user_namespaces())
    assert "Traceback" not in doctor.stdout + doctor.stderr
    assert "max_user_namespaces" in doctor.stdout


def test_host_without_a_memory_controller(cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    needs(without_cgroups())
    greedy = write_notebook(tmp_path / "greedy.ipynb", "x = 1", "y = bytearray(2**30)", "print(x)")
    options = ["--memory", "512m", "--allow-errors", "--format", "json"]
    result = cellstack("execute", greedy, *options, wrapper=without_cgroups())
    first, killed, after = json.loads(result.stdout)["cells"]
    assert first["limits"]["enforced_by"]["memory"] == "rlimit"
    assert (killed["status"] == "ok", after["status"]) == (False, "ok")
    assert "memory" in cellstack("doctor", wrapper=without_cgroups()).stdout


def test_host_folder_that_vanished(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    manager = KernelManager(kernel_name="cellstack")
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        assert client.execute_interactive("x = 1", timeout=60)["content"]["status"] == "ok"
        shutil.rmtree(folder)
        for code in ("x", "x"):
            reply = client.execute_interactive(code, timeout=60, output_hook=lambda _: None)["content"]
            assert (reply["status"], str(folder) in reply.get("evalue", "")) == ("error", True)
        folder.mkdir()
        assert client.execute_interactive("assert x == 1", timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):
            manager.shutdown_kernel()
        manager.cleanup_resources()


def test_folder_with_too_many_directories_shows_most_of_them_and_says_so(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(5_050):
        (tmp_path / "many" / f"{number:04}").mkdir(parents=True)
    (tmp_path / "data.csv").write_text("1")
    code = "import os\nprint(open('data.csv').read(), len(os.listdir('many')))"
    path = write_notebook(tmp_path / "crowded.ipynb", code, code)
    result = cellstack("execute", path, "-o", tmp_path / "out.ipynb")
    assert result.returncode == 0, result.stderr
    outputs = [cell["outputs"] for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]]
    assert ["".join(cell[0]["text"]) for cell in outputs] == ["1 4998\n"] * 2
    assert [len(cell) for cell in outputs] == [2, 1]
    said = "".join(outputs[0][1]["text"])
    assert "cells do not see 52 of them, in many. Move the notebook" in said
