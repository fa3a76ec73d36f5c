"""What a cell finds around it: nothing of the host but the notebook's folder, no rights, no network."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "a-value-of-the-hosts-environment"
MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]
DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue"}
STREAMS = {"fd", "stdin", "stdout", "stderr"}

# Each cell prints one JSON object; all of them together are the facts. Names in capitals are filled in by the test.
FACTS = [
    """
import json, os, socket
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "status": status,
    "uid": os.getuid(),
    "pid": os.getpid(),
    "processes": [open(f"/proc/{pid}/comm").read().strip() for pid in os.listdir("/proc") if pid.isdigit()],
    "hostname": socket.gethostname(),
    "interfaces": {name: open(f"/sys/class/net/{name}/flags").read() for name in os.listdir("/sys/class/net")},
    "visible": [path for path in HOST_PATHS if os.path.lexists(path)],
    "home": os.listdir(HOST_HOME) if os.path.isdir(HOST_HOME) else [],
}))
""",
    """
def content(path):
    if os.path.isdir(path):
        return os.listdir(path)
    with open(path, "rb") as file:
        return list(file.read(64))
print(json.dumps({
    "masked": {path: content(path) for path in MASKED_PATHS if os.path.lexists(path)},
    "devices": os.listdir("/dev"),
    "blocks": [name for name in os.listdir("/dev") if os.stat(f"/dev/{name}").st_mode & 0o170000 == 0o060000],
}))
""",
    """
def attempt(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__ + ": " + error.strerror
    return "done"
def write(path):
    with open(path, "w") as file:
        file.write("1")
paths = ["/proc/sys/kernel/panic", "/proc/sys/net/ipv4/ip_forward", "/sys/kernel/mm/ksm/run", "/dev/new", "/tmp/new",
         "/dev/shm/new", "/dev/null", "/root/new", "/usr/new", "/run/cellstack/new"]
print(json.dumps({"writes": {path: attempt(lambda: write(path)) for path in paths}}))
""",
    """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    return "done" if getattr(libc, name)(*args) == 0 else os.strerror(ctypes.get_errno())
print(json.dumps({"calls": {
    "mount": call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "unshare": call("unshare", 0x10000000),
    "chroot": call("chroot", b"/tmp"),
    "sethostname": call("sethostname", b"host", 4),
    "mknod": attempt(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))),
}}))
del libc
""",
    """
environments = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environments[pid] = file.read().decode(errors="replace")
    except OSError:
        environments[pid] = ""
print(json.dumps({"environ": dict(os.environ), "environments": environments}))
""",
    """
print(json.dumps({"files": sorted(
    os.path.relpath(os.path.join(folder, name), "/work")
    for folder, folders, names in os.walk("/work") for name in [*folders, *names]
)}))
with open("data.csv", "a") as file:
    file.write("more\\n")
os.remove("folder/other.csv")
os.mkdir("made")
with open("made/new.csv", "w") as file:
    file.write("new\\n")
""",
    """
print(json.dumps({"after": [open("data.csv").read(), os.listdir("folder"), open("made/new.csv").read()],
                  "tmp": os.listdir("/tmp"), "shm": os.listdir("/dev/shm")}))
""",
    """
def connect(*address):
    socket.create_connection(address, timeout=5).close()
server = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"connects": {
    "own": attempt(lambda: connect(*server.getsockname())),
    "host": attempt(lambda: connect("127.0.0.1", HOST_PORT)),
}}))
server.close()
del server
""",
]
# 192.0.2.0/24 is for documentation (RFC 5737): it is nobody's.
NO_NETWORK = [
    "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=5)",
    "import urllib.request\nurllib.request.urlopen('http://name.example', timeout=5)",
]


def tree(folder: Path) -> dict[str, str | None]:
    """Return path -> text of everything below a folder; None for folders."""
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in paths}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a notebook's folder with files, hidden ones among them."""
    folder = tmp_path_factory.mktemp("isolation") / "project"
    for name in ("data.csv", ".env", ".git/config", "folder/other.csv", "folder/.secret"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of the host\n")
    return folder


@pytest.fixture(scope="module")
def outside(folder: Path) -> Path:
    """Return a file beside the notebook's folder."""
    path = folder.parent / "outside-of-the-folder"
    path.write_text("of the host\n")
    return path


@pytest.fixture(scope="module")
def outputs(
    cellstack: Run, write_notebook: Callable[..., Path], folder: Path, outside: Path
) -> Iterator[list[list[dict[str, Any]]]]:
    """Return the outputs of each cell; the folder has been compared with what it was before."""
    host_paths = [str(outside), __file__, str(Path.home() / ".bashrc")]
    output = outside.with_name("out.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        filled = {
            "HOST_PATHS": host_paths,
            "HOST_HOME": str(Path.home()),
            "MASKED_PATHS": MASKED,
            "HOST_PORT": listening.getsockname()[1],
        }
        pattern = re.compile("|".join(filled))
        cells = [pattern.sub(lambda name: repr(filled[name[0]]), cell) for cell in FACTS]
        notebook = write_notebook(folder / "facts.ipynb", *cells, *NO_NETWORK)
        before = tree(folder)
        result = cellstack(
            "execute", notebook, "-o", output, "--allow-errors", env={"SECRET_TOKEN": SECRET}, stdin=subprocess.DEVNULL
        )
    assert result.returncode == 0, result.stderr
    assert tree(folder) == before
    yield [cell["outputs"] for cell in json.loads(output.read_text())["cells"]]
    assert tree(folder) == before


@pytest.fixture(scope="module")
def facts(outputs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return what the cells have found."""
    found: dict[str, Any] = {}
    for cell in outputs[: len(FACTS)]:
        assert [output["output_type"] for output in cell] == ["stream"], cell
        found.update(json.loads("".join(cell[0]["text"])))
    return found


def test_cell_has_no_capability_and_can_gain_none(facts: dict[str, Any]) -> None:
    status = facts["status"]
    sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert sets == dict.fromkeys(sets, 0)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_system_calls_that_change_the_container_are_refused(facts: dict[str, Any]) -> None:
    refused = "Operation not permitted"
    assert facts["calls"] == {
        "mount": refused,
        "unshare": refused,
        "chroot": refused,
        "sethostname": refused,
        "mknod": f"PermissionError: {refused}",
    }


def test_cell_is_root_of_its_container_and_sees_only_its_processes(facts: dict[str, Any]) -> None:
    assert facts["uid"] == 0
    assert facts["pid"] > 1
    assert len(facts["processes"]) == 2
    assert "cellstack-init" in facts["processes"]


def test_container_has_a_hostname_of_its_own(facts: dict[str, Any]) -> None:
    assert facts["hostname"]
    assert facts["hostname"] != socket.gethostname()


def test_nothing_of_the_host_is_in_the_root(facts: dict[str, Any]) -> None:
    assert facts["visible"] == []
    assert facts["home"] == []


def test_kernel_files_of_the_host_are_masked(facts: dict[str, Any]) -> None:
    assert "/proc/interrupts" in facts["masked"]
    assert {path: content for path, content in facts["masked"].items() if content} == {}


def test_writes_are_possible_where_they_should_be(facts: dict[str, Any]) -> None:
    writes = facts["writes"]
    possible = {path for path, outcome in writes.items() if outcome == "done"}
    assert possible == {"/tmp/new", "/dev/shm/new", "/dev/null", "/root/new", "/usr/new"}
    for path in ("/proc/sys/kernel/panic", "/proc/sys/net/ipv4/ip_forward", "/dev/new", "/run/cellstack/new"):
        assert writes[path] == "OSError: Read-only file system", path


def test_devices_are_few(facts: dict[str, Any]) -> None:
    assert set(facts["devices"]) == DEVICES | STREAMS
    assert facts["blocks"] == []


def test_files_in_memory_end_with_the_container_and_temporary_files_go_on(facts: dict[str, Any]) -> None:
    assert "new" not in facts["shm"]
    assert "new" in facts["tmp"]


def test_only_loopback_is_there_and_it_is_up(facts: dict[str, Any]) -> None:
    up_and_loopback = 0x1 | 0x8
    assert {name: int(flags, 16) & up_and_loopback for name, flags in facts["interfaces"].items()} == {
        "lo": up_and_loopback
    }
    assert facts["connects"]["own"] == "done"


def test_loopback_is_not_the_hosts(facts: dict[str, Any]) -> None:
    assert facts["connects"]["host"] == "ConnectionRefusedError: Connection refused"


@pytest.mark.parametrize("place", range(len(NO_NETWORK)))
def test_error_without_a_network_says_so(outputs: list[list[dict[str, Any]]], place: int) -> None:
    [error] = outputs[len(FACTS) + place]
    assert error["output_type"] == "error"
    assert "network=none" in "".join(error["traceback"])


def test_environment_of_the_host_is_not_the_cells(facts: dict[str, Any]) -> None:
    assert "SECRET_TOKEN" not in facts["environ"]
    assert not set(facts["environ"]) & {"CELLSTACK_HOME", "XDG_RUNTIME_DIR", "PYTEST_CURRENT_TEST", "USER", "PWD"}
    assert [pid for pid, text in facts["environments"].items() if SECRET in text] == []
    assert any("PATH=" in text for text in facts["environments"].values())


def test_environment_has_what_the_person_passes(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    source = "import os\nprint([os.environ.get(name) for name in ('SECRET_TOKEN', 'B', 'C')])"
    notebook = write_notebook(tmp_path / "env.ipynb", source)
    options = ["-e", "SECRET_TOKEN", "-e", "B=two words", "-e", "C"]
    result = cellstack("execute", notebook, "-o", "-", *options, env={"SECRET_TOKEN": SECRET})
    assert result.returncode == 0, result.stderr
    [output] = json.loads(result.stdout)["cells"][0]["outputs"]
    assert "".join(output["text"]) == f"{[SECRET, 'two words', None]}\n"


def test_hidden_files_of_the_folder_are_not_visible(facts: dict[str, Any]) -> None:
    assert facts["files"] == ["data.csv", "facts.ipynb", "folder", "folder/other.csv"]


def test_cell_changes_the_folder_for_the_next_cell_only(facts: dict[str, Any], folder: Path) -> None:
    assert facts["after"] == ["data.csv of the host\nmore\n", [], "new\n"]
    assert (folder / "data.csv").read_text() == "data.csv of the host\n"
    assert (folder / "folder" / "other.csv").exists()
    assert not (folder / "made").exists()


def test_edit_on_the_host_shows_in_the_next_cell(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("answer = 1\n")
    manager = KernelManager(kernel_name="cellstack")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()

    def run(code: str) -> str:
        texts: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])

        reply = client.execute_interactive(code, timeout=60, output_hook=take)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(texts)

    try:
        client.wait_for_ready(timeout=120)
        assert run("import os\nprint(open('helper.py').read(), sorted(os.listdir()))") == "answer = 1\n ['helper.py']\n"
        (tmp_path / "helper.py").write_text("answer = 2\n")
        (tmp_path / "new.csv").write_text("new\n")
        (tmp_path / ".hidden").write_text("hidden\n")
        assert run("print(open('helper.py').read(), sorted(os.listdir()))") == (
            "answer = 2\n ['helper.py', 'new.csv']\n"
        )
        (tmp_path / "new.csv").unlink()
        assert run("from helper import answer\nprint(answer, os.path.exists('new.csv'))") == "2 False\n"
    finally:
        client.stop_channels()
        with contextlib.suppress(RuntimeError):
            manager.shutdown_kernel()
        manager.cleanup_resources()
