"""The verbs of the command line do what their table in CONTRACT and README says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., subprocess.CompletedProcess[str]]

NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
# https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
DOCKER_CAPABILITIES = 0xA80425FB
IMAGE = "team/made-here:v1"


@pytest.fixture(scope="module")
def docker_like(cellstack: Run) -> Callable[..., str]:
    """Return a function that runs a command and returns its stdout, having succeeded without a word on stderr."""

    def output(*arguments: str | Path, **options: Any) -> str:
        result = cellstack(*arguments, **options)
        assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
        return result.stdout

    return output


@pytest.fixture(scope="module")
def listing(docker_like: Callable[..., str]) -> Callable[..., Any]:
    """Return a function that runs a listing with --format json and returns what it says."""
    return lambda *arguments, **options: json.loads(docker_like(*arguments, "--format", "json", **options))


# -- run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 128 + 9)])
def test_run_passes_on_the_exit_code(cellstack: Run, script: str, code: int) -> None:
    assert cellstack("run", "default", "sh", "-c", script).returncode == code


def test_run_passes_streams_through(cellstack: Run) -> None:
    script = "cat; echo error >&2"
    result = cellstack("run", "--rm", "default", "sh", "-c", script, stdin=None, input="line\n" * 20_000)
    assert (result.returncode, result.stderr) == (0, "error\n")
    assert result.stdout == "line\n" * 20_000


def test_run_sets_environment_folder_and_mounts(docker_like: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from the host\n")
    options = ["-e", "ONE=1 and more", "-e", "PASSED", "-e", "MISSING", "-w", "/tmp", "--mount", f"{tmp_path}:/data:ro"]
    script = (
        "pwd; echo $1; env | sort | grep -E '^(ONE|PASSED|MISSING|OTHER)='; cat /data/in.txt; ! touch /data/new 2>&-"
    )
    env = {"PASSED": "yes", "OTHER": "no"}
    shown = docker_like("run", *options, "default", "sh", "-c", script, "sh", "--memory", env=env)
    assert shown == "/tmp\n--memory\nONE=1 and more\nPASSED=yes\nfrom the host\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--cap-add", "NET_ADMIN", "--cap-drop", "NET_RAW"], (DOCKER_CAPABILITIES | NET_ADMIN) & ~NET_RAW),
        (["--cap-add", "cap_net_admin", "--cap-drop", "ALL"], NET_ADMIN),
    ],
)
def test_run_has_dockers_capabilities_and_changes_them(
    docker_like: Callable[..., str], options: list[str], expected: int
) -> None:
    shown = docker_like("run", *options, "default", "grep", "-E", "Cap(Eff|Bnd)", "/proc/self/status")
    assert {name: int(value, 16) for name, value in re.findall(r"(\w+):\t(\w+)", shown)} == {
        "CapEff": expected,
        "CapBnd": expected,
    }


@pytest.mark.parametrize(
    ("options", "command", "words"),
    [
        (["--timeout", "0.5"], ["sleep", "60"], ["time limit", "0.5 s"]),
        (["--memory", "64m"], ["python3", "-c", "x = b'x' * 2**29"], ["64"]),
    ],
)
def test_run_says_which_limit_ended_it(
    cellstack: Run, options: list[str], command: list[str], words: list[str]
) -> None:
    result = cellstack("run", *options, "default", *command)
    if "MemoryError" in result.stderr:  # rlimits hold the limit here, and Python says it itself
        assert result.returncode == 1
        return
    assert result.returncode == 128 + 9
    assert [word for word in words if word not in result.stderr] == []


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    """A container that runs `command` behind a line that says that it runs, and ends with its standard input."""
    script = 'echo up; "$@" & cat >/dev/null; kill $!'
    words = [str(Path(sys.executable).with_name("cellstack")), "run", "default", "sh", "-c", script, "sh", *command]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield
        process.communicate(timeout=60)
    assert process.returncode == 0


def users_on_the_host(pid_namespace: int) -> set[int]:
    """Return the user ids of the processes in a pid namespace, as the host numbers them."""
    users = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            if (process / "ns" / "pid").stat().st_ino == pid_namespace:
                users.add(process.stat().st_uid)
    return users


def test_running_container_is_listed_and_inspected(
    docker_like: Callable[..., str], listing: Callable[..., Any]
) -> None:
    with running("sleep", "60"):
        [record] = listing("ps")
        assert record["status"] == "running"
        assert record["command"][:2] == ["sh", "-c"]
        table = docker_like("ps")
        assert table.splitlines()[0].split("   ")[0] == "CONTAINER ID"
        assert record["id"][:12] in table
        [container] = json.loads(docker_like("inspect", record["id"][:6]))
        assert (container["kind"], container["id"]) == ("container", record["id"])
        users = users_on_the_host(record["namespaces"]["pid"])
        assert users
        # Root in a container is nobody whom the host knows when root has started it, and the user otherwise.
        assert {user >= 100_000 if os.geteuid() == 0 else user == os.geteuid() for user in users} == {True}
    assert listing("ps") == []


# -- execute, and what it leaves ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Executed:
    """A notebook that was executed: its path, the report, the executed notebook's cells, and what came out beside."""

    notebook: Path
    report: dict[str, Any]
    cells: list[dict[str, Any]]
    copies: Path

    @property
    def head(self) -> str:
        """The last cell's layer."""
        return str(self.report["cells"][-1]["layer"])


CELLS = (
    "year = 'unset'\nname = 'unset'",
    "print(year + 1, name, flag)",
    """
import os
print(os.environ["GIVEN"], open("/data/in.txt").read())
with open("/writable/out.txt", "w") as file:
    file.write("written")
""",
    """
os.makedirs("out/deep")
for path in ("out/a.txt", "out/deep/b.txt", "/root/mark.txt"):
    with open(path, "w") as file:
        file.write(path)
with open("data.csv", "a") as file:
    file.write("more")
os.remove("old.csv")
""",
)


@pytest.fixture(scope="module")
def executed(cellstack: Run, write_notebook: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Executed:
    folder = tmp_path_factory.mktemp("project")
    (folder / "data.csv").write_text("data,")
    (folder / "old.csv").write_text("old")
    notebook = write_notebook(folder / "notebook.ipynb", *CELLS)
    document = json.loads(notebook.read_text())
    document["cells"][0]["metadata"]["tags"] = ["parameters"]
    notebook.write_text(json.dumps(document))
    copies = tmp_path_factory.mktemp("copies")
    for name in ("read", "write"):
        (copies / name).mkdir()
    (copies / "read" / "in.txt").write_text("mounted")
    options = ["-p", "year=2024", "-p", "name=Ada", "-p", "flag=true", "-e", "GIVEN=for cells", "--tag", IMAGE]
    options += ["--mount", f"{copies}/read:/data:ro", "--mount", f"{copies}/write:/writable"]
    output = copies / "out.ipynb"
    result = cellstack("execute", notebook, "-o", output, *options, "--format", "json")
    assert result.returncode == 0, result.stdout + result.stderr
    return Executed(notebook, json.loads(result.stdout), json.loads(output.read_text())["cells"], copies)


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def test_execute_reports_as_the_contract_says(executed: Executed) -> None:
    report = executed.report
    assert set(report) == {"notebook", "image", "status", "seconds", "cells"}
    assert (report["notebook"], report["status"]) == (str(executed.notebook), "ok")
    wanted = set("index status execution_count layer parent changes bytes wall_seconds cpu_seconds".split())
    wanted |= set("memory_peak_bytes exit limits namespaces host cache carried".split())
    for before, cell in zip([None, *report["cells"]], report["cells"], strict=False):
        assert wanted <= set(cell)
        assert cell["parent"] == (before["layer"] if before else None)
    assert report["cells"][-1]["changes"] == {"added": 5, "changed": 1, "deleted": 1}


def test_parameters_are_set_behind_the_tagged_cell(executed: Executed) -> None:
    assert executed.cells[1]["metadata"]["tags"] == ["injected-parameters"]
    assert printed(executed.cells[2]) == "2025 Ada True\n"


def test_environment_and_mounts_reach_the_cells(executed: Executed) -> None:
    assert printed(executed.cells[3]) == "for cells mounted\n"
    assert (executed.copies / "write" / "out.txt").read_text() == "written"
    assert (executed.copies / "write" / "out.txt").stat().st_uid == os.geteuid()


def test_mount_that_is_read_only_cannot_be_written(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    notebook = write_notebook(tmp_path / "write.ipynb", "open('/data/new', 'w')")
    result = cellstack("execute", notebook, "--mount", f"{tmp_path}/data:/data:ro")
    assert result.returncode == 1
    assert "Read-only file system" in result.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_executed_notebook_on_standard_output(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    notebook = write_notebook(tmp_path / "notebook.ipynb", "print('ran')", "1 / 0", "print('not reached')")
    before = notebook.read_text()
    result = cellstack("execute", notebook, "-o", "-")
    assert result.returncode == 1
    cells = json.loads(result.stdout)["cells"]
    assert printed(cells[0]) == "ran\n"
    assert [output["ename"] for output in cells[1]["outputs"]] == ["ZeroDivisionError"]
    assert cells[2]["outputs"] == []
    assert "cell 2 failed: ZeroDivisionError" in result.stderr
    assert notebook.read_text() == before


def test_each_cell_has_a_line_on_stderr(cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "notebook.ipynb", "open('new', 'w').close()", "1 / 0", "import os\nos._exit(3)"
    )
    result = cellstack("execute", notebook, "--allow-errors")
    assert (result.returncode, result.stdout) == (0, "")
    lines = [line for line in result.stderr.splitlines() if re.match(r"\[\d/3\]", line)]
    assert [line.split()[1] for line in lines] == ["ok", "error", "killed"]
    assert "+1 ~0 -0" in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebook.ipynb"]


def test_tag_makes_an_image_that_notebooks_start_from(
    listing: Callable[..., Any], docker_like: Callable[..., str], executed: Executed
) -> None:
    tagged = [image for image in listing("images") if IMAGE in image["Tags"]]
    assert [image["Layers"][-1] for image in tagged] == [executed.head]
    name, _, tag = IMAGE.rpartition(":")
    table = docker_like("images")
    assert table.split("\n")[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert re.search(rf"^{name} +{tag} +{tagged[0]['Id'][:12]} ", table, re.MULTILINE)
    assert docker_like("run", IMAGE, "cat", "/root/mark.txt") == "/root/mark.txt"


def test_cells_of_a_tagged_image_see_its_files(
    docker_like: Callable[..., str], write_notebook: Callable[..., Path], executed: Executed, tmp_path: Path
) -> None:
    del executed
    notebook = write_notebook(tmp_path / "next.ipynb", "print(open('/root/mark.txt').read(), open('out/a.txt').read())")
    shown = docker_like("execute", notebook, "--image", IMAGE, "-o", "-")
    assert printed(json.loads(shown)["cells"][0]) == "/root/mark.txt out/a.txt\n"


# -- layers ------------------------------------------------------------------------------------------------------------


def test_layers_of_a_notebook(listing: Callable[..., Any], docker_like: Callable[..., str], executed: Executed) -> None:
    [session] = [found for found in listing("layers") if found["notebook"] == str(executed.notebook)]
    shown = listing("layers", session["id"])
    assert [layer["id"] for layer in shown["layers"]] == [cell["layer"] for cell in executed.report["cells"]]
    assert shown["head"] == session["head"] == executed.head
    table = docker_like("layers", executed.notebook).splitlines()
    assert table[0].split() == ["LAYER", "CELL", "CREATED", "CHANGES", "SIZE", "PEAK", "CODE"]
    assert [line.split()[0] for line in table[1:]] == [layer["id"][:12] for layer in reversed(shown["layers"])]


def test_diff_shows_what_the_cell_did_as_its_record_counts_it(
    listing: Callable[..., Any], docker_like: Callable[..., str], executed: Executed
) -> None:
    rows = listing("diff", executed.head)
    assert docker_like("diff", executed.head[:12]).splitlines() == [f"{row['kind']} {row['path']}" for row in rows]
    added = {row["path"] for row in rows if row["kind"] == "A"}
    assert added == {"/root/mark.txt", "/work/out", "/work/out/a.txt", "/work/out/deep", "/work/out/deep/b.txt"}
    files = {row["path"]: row["kind"] for row in rows if row["path"].endswith(".csv")}
    assert files == {"/work/data.csv": "C", "/work/old.csv": "D"}


def test_inspect_shows_layers_and_images(docker_like: Callable[..., str], executed: Executed) -> None:
    layer, image = json.loads(docker_like("inspect", executed.head[:12], IMAGE))
    assert (layer["kind"], layer["id"], layer["parent"]) == (
        "layer",
        executed.head,
        executed.report["cells"][-1]["parent"],
    )
    assert (image["kind"], image["layers"][-1]) == ("image", executed.head)


# -- bringing files out ------------------------------------------------------------------------------------------------


def test_cp_brings_files_and_folders_out(cellstack: Run, executed: Executed, tmp_path: Path) -> None:
    shown = cellstack("cp", f"{executed.head[:12]}:/work/out/a.txt", "-")
    assert (shown.returncode, shown.stdout) == (0, "out/a.txt"), shown.stderr
    copied = cellstack("cp", f"{executed.head[:12]}:/work/out", tmp_path / "copied")
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "copied" / "deep" / "b.txt").read_text() == "out/deep/b.txt"
    inside = cellstack("cp", f"{executed.head[:12]}:/root/mark.txt", tmp_path)
    assert inside.returncode == 0, inside.stderr
    assert (tmp_path / "mark.txt").read_text() == "/root/mark.txt"
    missing = cellstack("cp", f"{executed.head[:12]}:/work/nothing", tmp_path / "nothing")
    assert (missing.returncode, "/work/nothing" in missing.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied", "mark.txt"]


def test_execute_copies_out_at_the_end(cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    source = "import os\nos.mkdir('out')\nopen('out/a.txt', 'w').write('a')\nopen('/root/b.txt', 'w').write('b')"
    notebook = write_notebook(tmp_path / "notebook.ipynb", source)
    copies = ["--copy-out", f"out:{tmp_path}/copied", "--copy-out", f"/root/b.txt:{tmp_path}/b.txt"]
    result = cellstack("execute", notebook, *copies)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "copied" / "a.txt").read_text() == "a"
    assert (tmp_path / "b.txt").read_text() == "b"
    assert (tmp_path / "b.txt").stat().st_uid == os.geteuid()


# -- the host ----------------------------------------------------------------------------------------------------------


def test_info_counts_what_is_in_the_store(listing: Callable[..., Any], executed: Executed, store: Path) -> None:
    del executed
    info, known = listing("info"), Engine(str(store)).store
    assert info["Home"] == str(store)
    assert (info["Images"], info["Layers"]) == (len(known.images()), len(known.layers()))
    assert (info["Notebooks"], info["Containers"]) == (len(known.sessions()), 0)
    assert info["Rootless"] == (os.geteuid() != 0)
    assert info["CPUs"] == os.cpu_count()


def test_version_has_client_and_server(listing: Callable[..., Any], docker_like: Callable[..., str]) -> None:
    version = listing("version")
    assert set(version) == {"Client", "Server"}
    number = version["Client"]["Version"]
    assert version["Server"]["Engine"]["Version"] == number
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", number)
    assert re.search(r"Client:.*\n Version: +" + re.escape(number) + r"\n[\s\S]*\nServer:", docker_like("version"))


def test_doctor_gives_a_reason_for_everything(listing: Callable[..., Any], docker_like: Callable[..., str]) -> None:
    report = listing("doctor")
    assert report["ok"] is True  # these tests run here
    names = [check["name"] for check in report["checks"]]
    assert len(names) == len(set(names))
    assert {f"namespace {name}" for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")} <= set(names)
    text = docker_like("doctor")
    for check in report["checks"]:
        assert check["reason"], check
        assert check["status"] == "ok" or check["hint"], check
        assert check["name"] in text


def test_kernelspec_is_installed_elsewhere(docker_like: Callable[..., str], tmp_path: Path) -> None:
    options = ["--prefix", str(tmp_path), "--name", "other", "--display-name", "Other"]
    folder = tmp_path / "share" / "jupyter" / "kernels" / "other"
    assert str(folder) in docker_like("kernelspec", "install", *options)
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["argv"] == [sys.executable, "-m", "cellstack_kernel", "-f", "{connection_file}"]
    shipped = json.loads((Path(__file__).parents[2] / "kernel/spec/kernel.json").read_text())
    assert spec == {**shipped, "argv": spec["argv"], "display_name": "Other"}


def test_kernelspec_is_installed_for_the_user(docker_like: Callable[..., str], tmp_path: Path) -> None:
    docker_like("kernelspec", "install", "--user", env={"JUPYTER_DATA_DIR": str(tmp_path)})
    assert (tmp_path / "kernels" / "cellstack" / "kernel.json").is_file()


def test_help_lists_the_verbs(docker_like: Callable[..., str]) -> None:
    verbs = set(re.findall(r"^  (\w+) ", docker_like("--help"), re.MULTILINE))
    expected = {"execute", "lab", "kernelspec", "doctor", "info", "version", "run", "ps", "inspect", "diff", "cp"}
    assert expected | {"images", "layers"} <= verbs
