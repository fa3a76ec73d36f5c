"""`cellstack exec`: a program beside what runs in a container, with no more rights, and no word of the host."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellstack_runtime import live
from cellstack_runtime.namespaces import ISOLATES, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kernels import Running

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Program = Callable[..., live.Container]

COMMAND = str(Path(sys.executable).with_name("cellstack"))
LOOK = """
import json, os
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "namespaces": {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in KINDS},
    "cgroup": open("/proc/self/cgroup").read(),
    "rights": [status[name] for name in "CapPrm CapBnd CapAmb NoNewPrivs Seccomp Uid Gid Groups".split()],
    "descriptors": [os.readlink(f"/proc/self/fd/{fd}")[:5] for fd in os.listdir("/proc/self/fd") if int(fd) < 3],
    "others": [fd for fd in range(3, 1000) if os.path.exists(f"/proc/self/fd/{fd}")],
    "environment": sorted(os.environ),
}))
"""
WAIT = """
while not os.path.exists("/tmp/enough"):
    pass
"""
# What it looks at are the processes that come while it runs, and which may be read by whoever has their rights.
SPY = """
import os
seen = set()
while not os.path.exists("/tmp/enough"):
    for pid in set(filter(str.isdecimal, os.listdir("/proc"))) - {str(os.getpid()), "1"}:
        for name in ("environ", "cmdline", "maps"):
            try:
                seen.update(open(f"/proc/{pid}/{name}", "rb").read().replace(b"\\0", b"\\n").splitlines())
            except OSError:
                pass
        try:
            seen.update(os.readlink(f"/proc/{pid}/fd/{fd}").encode() for fd in os.listdir(f"/proc/{pid}/fd"))
            seen.add(os.readlink(f"/proc/{pid}/exe").encode())
        except OSError:
            pass
print("\\n".join(sorted(line.decode(errors="replace") for line in seen)))
"""


class Busy:
    """A cell that runs until it is `let_go`, and its container."""

    def __init__(self, kernel: Running, home: Path, code: str) -> None:
        self._client = kernel.client
        known = {one.id for one in live.live_containers(str(home)) if one.status == "running"}
        self._request = kernel.client.execute(code)
        deadline = time.monotonic() + 60
        while True:
            new = [one for one in live.live_containers(str(home)) if one.status == "running" and one.id not in known]
            if new:
                self.container = new[0]
                return
            assert time.monotonic() < deadline

    def let_go(self) -> str:
        """Make the file that it waits for; return what it has written, once it has ended."""
        assert subprocess.run([COMMAND, "exec", self.container.id, "touch", "/tmp/enough"], check=False).returncode in (
            0,
            128 + signal.SIGKILL,  # the cell was quicker than the end of this
        )
        written = ""
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") == self._request:
                if message["content"].get("execution_state") == "idle":
                    return written
                written += message["content"].get("text", "")


def looked(cellstack: Run, container: live.Container) -> Any:
    code = LOOK.replace("KINDS", repr(list(container.namespaces)))
    done = cellstack("exec", container.id, "python3", "-c", code, env={"SECRET": "of the host"})
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_program_that_joins_a_cell_has_its_namespaces_its_cgroup_and_its_rights(
    kernel: Running, store: Path, cellstack: Run
) -> None:
    cell = Busy(kernel, store, LOOK.replace("KINDS", repr([*ISOLATES])) + WAIT)
    found = looked(cellstack, cell.container)
    own = json.loads(cell.let_go())
    assert found["namespaces"] == own["namespaces"] == cell.container.namespaces
    assert (found["cgroup"], found["rights"]) == (own["cgroup"], own["rights"])
    assert found["rights"][:5] == ["0" * 16, "0" * 16, "0" * 16, "1", "2"]
    assert (found["descriptors"], found["others"]) == (["pipe:"] * 3, [])
    assert set(found["environment"]) <= set(own["environment"]) | {"LC_CTYPE"}


def test_a_program_that_joins_a_run_has_the_rights_of_its_program(cellstack: Run, program: Program) -> None:
    container = program("--cap-drop", "ALL", "--cap-add", "NET_RAW", "-e", "GIVEN=yes", "default", "sleep", "300")
    found = looked(cellstack, container)
    assert found["rights"][:2] == [f"{1 << 13:016x}"] * 2
    assert "GIVEN" in found["environment"]
    assert "SECRET" not in found["environment"]


def test_a_hostile_cell_sees_nothing_of_the_host_in_who_joins(kernel: Running, store: Path, cellstack: Run) -> None:
    cell = Busy(kernel, store, SPY)
    for _ in range(6):
        assert cellstack("exec", cell.container.id, "sh", "-c", "sleep 0.3; exit 4").returncode == 4
    seen = cell.let_go()
    assert "exit 4" in seen, "it has not looked at one"
    of_both = {"/usr"}  # where Debian's Python is, on the host and in the image
    for secret in {str(store), sys.prefix, sys.base_prefix, "cellstack_", "socket:"} - of_both:
        assert secret not in seen, secret


def test_streams_and_the_exit_code_are_passed_on(cellstack: Run, program: Program) -> None:
    container = program("sleep", "300")

    def done(*arguments: str, **options: Any) -> tuple[int, str, str]:
        found = cellstack("exec", *arguments, **options)
        return found.returncode, found.stdout, found.stderr

    lines = "line\n" * 200_000
    assert done("-i", container.id, "cat", stdin=None, input=lines) == (0, lines, "")
    assert done(container.id, "cat", stdin=None, input=lines) == (0, "", "")
    assert done(container.id, "sh", "-c", "echo out; echo err >&2; exit 9") == (9, "out\n", "err\n")
    assert done(container.id, "sh", "-c", "kill -SEGV $$")[0] == 128 + signal.SIGSEGV
    assert done("-w", "/tmp", "-e", "ONE=1", container.id, "sh", "-c", "echo $PWD $ONE") == (0, "/tmp 1\n", "")
    assert done("-w", "/none", container.id, "true")[0] == 126
    assert done(container.id, "/etc/passwd")[0] == 126
    assert done(container.id, "no-such-program")[0] == 127
    assert done("no-such-container", "true")[0] == 125
    assert done(container.id, "sh", "-c", "sleep 300 & echo started") == (0, "started\n", "")


def test_it_ends_with_its_container(program: Program, cellstack: Run) -> None:
    container = program("sleep", "300")
    process = subprocess.Popen([COMMAND, "exec", container.id, "sleep", "299"])
    while "sleep 299" not in {one.command for one in processes_of(container)}:
        assert process.poll() is None
    cellstack("kill", container.id)
    assert process.wait(30) == 128 + signal.SIGKILL


def test_what_is_paused_waits_or_is_full_takes_nobody(
    cellstack: Run, program: Program, kernel: Running, store: Path
) -> None:
    container = program("--pids", "3", "default", "sh", "-c", "sleep 300 & exec sleep 301")
    if container.enforced_by["pids"] == "cgroup":
        while len(processes_of(container)) < 3:  # with init, its limit
            assert live.read_container(container.run, container.id)
        done = cellstack("exec", container.id, "true")
        assert (done.returncode, "nothing could be started in it" in done.stderr) == (125, True)
    cellstack("pause", container.id)
    done = cellstack("exec", container.id, "true")
    assert (done.returncode, "it is paused" in done.stderr) == (125, True)
    cellstack("unpause", container.id)
    assert live.read_container(container.run, container.id), "it runs on"
    kernel.run("1")
    deadline = time.monotonic() + 60
    while "it waits for the next cell and runs nothing" not in done.stderr:
        for one in live.live_containers(str(store)):
            if one.status == "waiting":
                done = cellstack("exec", one.id, "true")  # that of the cell before may just be going
                assert done.returncode == 125
        assert time.monotonic() < deadline


class Terminal:
    """`cellstack exec -it` on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(40, 100)
        self.said = ""
        self.process = subprocess.Popen(
            [COMMAND, "exec", "-it", *command], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, text: str) -> None:
        while text not in self.said:
            ready, _, _ = select.select([self.master], [], [], 60)
            assert ready, self.said
            self.said += os.read(self.master, 1 << 16).decode()

    def close(self) -> None:
        os.close(self.master)


def test_a_shell_has_a_terminal_of_the_container(program: Program) -> None:
    container = program("sleep", "300")
    terminal = Terminal("-e", "PS1=ready> ", container.id, "sh", "-i")
    terminal.until("ready> ")
    terminal.type("tty; stty size; echo $TERM\r")
    terminal.until("/dev/pts/0\r\n40 100\r\nxterm\r\n")
    terminal.resize(20, 60)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.type("while [ \"$(stty size)\" != '20 60' ]; do :; done; echo re''sized\r")
    terminal.until("resized")
    terminal.type("sleep 300\r")
    while "sleep 300" not in {one.command for one in processes_of(container) if one.pid_inside > 2}:
        assert terminal.process.poll() is None
    terminal.type("\x03")
    terminal.type("echo inter''rupted; exit 5\r")
    terminal.until("interrupted")
    assert terminal.process.wait(30) == 5
    terminal.close()


def test_a_shell_ends_when_its_terminal_goes(program: Program) -> None:
    container = program("sleep", "300")
    terminal = Terminal("-e", "PS1=ready> ", container.id, "sh", "-i")
    terminal.until("ready> ")
    assert len(processes_of(container)) == 3
    terminal.process.kill()
    terminal.process.wait()
    terminal.close()
    deadline = time.monotonic() + 30
    while len(processes_of(container)) > 2:
        assert time.monotonic() < deadline
