"""What a cell installs is imported by the process that the next cells are forked from: it reaches no further than they.

A `.pth` file is run at the very start of that process. It leaves what it has seen in `sys`, which the cells inherit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

PROBE = """
import ctypes, errno, os, sys
def attempt(do):
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "worked"
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
sys.seen = {
    "self": str(os.getpid()),
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    "environ": sorted(os.environ),
    "capabilities": status["CapEff"].strip(),
    "no_new_privs": status["NoNewPrivs"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "mount": attempt(lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "unshare": attempt(lambda: call("unshare", 0x20000)),
    "ptrace": attempt(lambda: call("ptrace", 16, 1, None, None)),
    "sysctl": attempt(lambda: open("/proc/sys/kernel/hostname", "w").write("x")),
    "kill": attempt(lambda: os.kill(1, 0)),
}
"""


@pytest.fixture(scope="module")
def seen(
    cellstack: Callable[..., subprocess.CompletedProcess[str]],
    write_notebook: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Return what the package has seen."""
    folder = tmp_path_factory.mktemp("package")
    notebook = write_notebook(
        folder / "a.ipynb",
        "import sysconfig\nsite = sysconfig.get_paths()['purelib']\n"
        f"open(f'{{site}}/probe.py', 'w').write({PROBE!r})\n"
        "print(open(f'{site}/probe.pth', 'w').write('import probe\\n'))",
        "import json, sys\nprint(json.dumps(sys.seen))",
    )
    executed = cellstack("execute", notebook, "-o", folder / "out.ipynb", env={"SECRET_TOKEN": "hunter2"})
    assert executed.returncode == 0, executed.stderr
    [output] = json.loads((folder / "out.ipynb").read_text())["cells"][-1]["outputs"]
    found: dict[str, Any] = json.loads("".join(output["text"]))
    return found


def test_it_sees_no_process_and_no_secret(seen: dict[str, Any]) -> None:
    assert seen["processes"] == [seen["self"]]
    assert "SECRET_TOKEN" not in seen["environ"]


def test_it_may_do_no_more_than_enter_containers(seen: dict[str, Any]) -> None:
    cap_sys_admin = 21
    assert int(seen["capabilities"], 16) == 1 << cap_sys_admin
    assert (seen["no_new_privs"], seen["seccomp"]) == ("1", "2")
    refused = {name: seen[name] for name in ("mount", "unshare", "ptrace", "sysctl")}
    assert set(refused.values()) <= {"EPERM", "EACCES", "EROFS"}, refused
