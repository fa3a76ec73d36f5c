"""Running containers: what is shown of them, and what can be done to them from the browser and the command line."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import live
from cellstack_runtime.namespaces import ISOLATES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.conftest import Api, Kernel

    Program = Callable[..., live.Container]
    Run = Callable[..., subprocess.CompletedProcess[str]]

KEPT = "Files and variables are as they were before it"


async def test_a_container_is_shown_with_its_processes_and_namespaces(api: Api, program: Program) -> None:
    container = program("sh", "-c", "sleep 300 & exec sleep 301")
    listed = (await api.ask("GET containers"))["containers"]
    shown = next(one for one in listed if one["id"] == container.id)
    assert (shown["status"], shown["command"]) == ("running", "sh -c sleep 300 & exec sleep 301")
    async with asyncio.timeout(30):
        commands: dict[str, Any] = {}
        while not {"sleep 300", "sleep 301"} <= commands.keys():  # the shell takes a moment to become the second
            details = await api.ask("GET containers/<id>", container.id)
            commands = {one["command"]: one for one in details["processes"]}
    assert commands["sleep 301"]["pid_inside"] == 2
    assert commands["sleep 300"]["ppid"] == commands["sleep 301"]["pid"]
    found = {one["kind"]: one for one in details["namespaces"]}
    assert found.keys() == ISOLATES.keys()
    assert all(one["inode"] != one["host_inode"] for one in found.values())
    assert found["uts"]["inside"] == {"hostname": container.id}
    loopback = {"name": "lo", "addresses": ["127.0.0.1/8"], "up": True}
    assert found["net"]["inside"]["interfaces"][0]["addresses"][:1] == loopback["addresses"]
    assert [(one["name"], one["up"]) for one in found["net"]["inside"]["interfaces"]] == [("lo", True)]
    mounts = {one["target"]: one["type"] for one in found["mnt"]["inside"]["mounts"]}
    assert (mounts["/"], mounts["/proc"]) == ("overlay", "proc")
    assert found["user"]["inside"]["uid_map"][0][0] == 0
    assert found["pid"]["inside"]["processes"] == 3


async def test_metrics_tell_what_a_container_uses(api: Api, program: Program) -> None:
    container = program("--memory", "256m", "--pids", "30", "default", "sh", "-c", "while :; do :; done")
    first = await api.ask("GET containers/<id>/metrics", container.id)
    await asyncio.sleep(0.5)
    second = await api.ask("GET containers/<id>/metrics", container.id)
    assert second["cpu"]["seconds"] > first["cpu"]["seconds"]
    assert (second["memory"]["limit"], second["pids"]["limit"]) == (256 << 20, 30)
    assert second["memory"]["bytes"] > 0
    assert second["pids"]["count"] >= 2


async def test_pause_stops_what_runs_and_unpause_lets_it_go_on(api: Api, program: Program) -> None:
    container = program("sh", "-c", "while :; do :; done")

    async def used() -> float:
        metrics = await api.ask("GET containers/<id>/metrics", container.id)
        seconds: float = metrics["cpu"]["seconds"]
        return seconds

    await api.ask("POST containers/<id>/pause", container.id)
    assert (await api.ask("GET containers/<id>", container.id))["status"] == "paused"
    code, said = await api.refused(f"containers/{container.id}/pause", method="POST", body="")
    assert (code, "it is paused already" in said) == (409, True)
    before = await used()
    await asyncio.sleep(0.5)
    assert await used() - before < 0.05
    await api.ask("POST containers/<id>/unpause", container.id)
    await asyncio.sleep(0.5)
    assert await used() - before > 0.1
    await api.ask("POST containers/<id>/pause", container.id)
    await api.ask("POST containers/<id>/kill", container.id)
    assert (await api.refused(f"containers/{container.id}/pause", method="POST", body=""))[0] == 404


async def test_limits_change_at_once_and_not_above_the_ceiling(api: Api, program: Program, store: Path) -> None:
    container = program("sleep", "300")
    if container.enforced_by["memory"] != "cgroup":
        code, said = await api.refused(
            f"containers/{container.id}/limits", method="PATCH", body=json.dumps({"memory": 64 << 20})
        )
        assert (code, "no cgroup holds its limit of memory" in said) == (409, True)
        return
    changed = await api.ask("PATCH containers/<id>/limits", container.id, body={"memory": 64 << 20, "pids": 20})
    assert (changed["limits"]["memory"], changed["limits"]["pids"]) == (64 << 20, 20)
    metrics = await api.ask("GET containers/<id>/metrics", container.id)
    assert (metrics["memory"]["limit"], metrics["pids"]["limit"]) == (64 << 20, 20)
    changed = await api.ask("PATCH containers/<id>/limits", container.id, body={"memory": 6.4e7, "pids": 64.0})
    assert [(type(changed["limits"][name]), changed["limits"][name]) for name in ("memory", "pids")] == [
        (int, 64_000_000),
        (int, 64),
    ]
    changed = await api.ask("PATCH containers/<id>/limits", container.id, body={"cpus": None, "pids": None})
    assert (changed["limits"]["memory"], changed["limits"]["pids"]) == (64_000_000, None)
    metrics = await api.ask("GET containers/<id>/metrics", container.id)
    assert (metrics["memory"]["limit"], metrics["pids"]["limit"]) == (64_000_000 // 4096 * 4096, None)
    body = json.dumps({"memory": 6 << 20})
    grown = program("python3", "-c", "x = bytearray(100 << 20); import time; time.sleep(300)")
    async with asyncio.timeout(60):
        while (await api.ask("GET containers/<id>/metrics", grown.id))["memory"]["bytes"] < 100 << 20:
            pass
    code, said = await api.refused(f"containers/{grown.id}/limits", method="PATCH", body=body)
    assert (code, "of memory now, more than 6 MiB" in said) == (409, True)
    (store / "config.toml").write_text('[ceiling]\nmemory = "128m"\n')
    try:
        for memory in (256 << 20, None):
            body = json.dumps({"memory": memory})
            code, said = await api.refused(f"containers/{container.id}/limits", method="PATCH", body=body)
            assert (code, "memory above the ceiling" in said) == (400, True)
    finally:
        (store / "config.toml").unlink()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"memory": 1}',
        '{"memory": "1g"}',
        '{"cpus": -1}',
        '{"cpus": NaN}',
        '{"memory": 6.4e7, "pids": 1.5}',
        '{"x": 1}',
        "{" * 5000,
    ],
)
async def test_limits_that_are_none_are_refused(api: Api, program: Program, body: str) -> None:
    container = program("sleep", "300")
    assert (await api.refused(f"containers/{container.id}/limits", method="PATCH", body=body))[0] in (400, 413)


async def _running(api: Api, command: str) -> str:
    """Return the container that runs a cell which begins with `command`."""
    async with asyncio.timeout(60):
        while True:
            for one in (await api.ask("GET containers"))["containers"]:
                if one["status"] == "running" and one["command"] == command:
                    return str(one["id"])


async def _waiting(api: Api) -> str:
    """Return the container that waits for the next cell, once there is one."""
    async with asyncio.timeout(30):
        while True:
            for one in (await api.ask("GET containers"))["containers"]:
                if one["status"] == "waiting":
                    return str(one["id"])


@pytest.mark.parametrize(("action", "said"), [("kill", "killed"), ("stop", "stopped")])
async def test_a_cell_that_is_ended_from_outside_says_so_and_loses_nothing(
    api: Api, kernel: Kernel, action: str, said: str
) -> None:
    await kernel.run("x = 1")
    running = asyncio.create_task(kernel.run("import time; x = 2; time.sleep(300)"))
    container = await _running(api, "import time; x = 2; time.sleep(300)")
    await api.ask(f"POST containers/<id>/{action}", container)
    _, texts = await running
    assert texts == [f"cell was {said} from outside of its notebook. {KEPT}"]
    assert await kernel.run("x") == (3, ["1"])


async def test_the_time_in_which_a_cell_is_paused_does_not_count(api: Api, kernel: Kernel) -> None:
    code = "%%container timeout=3\nimport time; time.sleep(1.5); print('done')"
    running = asyncio.create_task(kernel.run(code))
    container = await _running(api, "import time; time.sleep(1.5); print('done')")
    await api.ask("POST containers/<id>/pause", container)
    await asyncio.sleep(4)
    assert not running.done()
    await api.ask("POST containers/<id>/unpause", container)
    assert await running == (1, ["done\n"])


async def test_a_paused_cell_can_be_interrupted(api: Api, kernel: Kernel) -> None:
    await kernel.run("x = 1")
    running = asyncio.create_task(kernel.run("import time; time.sleep(300)"))
    container = await _running(api, "import time; time.sleep(300)")
    await api.ask("POST containers/<id>/pause", container)
    await kernel.interrupt()
    assert await running == (2, [""])  # a KeyboardInterrupt, which says no more
    assert await kernel.run("x") == (3, ["1"])


async def test_a_kernel_with_a_paused_cell_can_be_restarted(api: Api, kernel: Kernel, store: Path) -> None:
    await kernel.begin("import time; time.sleep(300)")
    container = await _running(api, "import time; time.sleep(300)")
    await api.ask("POST containers/<id>/pause", container)
    await kernel.restart()
    assert container not in {one.id for one in live.live_containers(str(store))}
    assert (await kernel.run("1 + 1"))[1] == ["2"]


async def test_a_container_that_waits_for_a_cell_is_left_alone(api: Api, kernel: Kernel) -> None:
    await kernel.run("1")
    waiting = await _waiting(api)
    for action in ("kill", "stop", "pause"):
        code, said = await api.refused(f"containers/{waiting}/{action}", method="POST", body="")
        assert (code, "it waits for the next cell" in said) == (409, True)
    assert await kernel.run("2") == (2, ["2"])


async def test_the_namespaces_of_the_cell_before_are_shown_beside(api: Api, kernel: Kernel) -> None:
    await kernel.run("import os; print(os.stat('/proc/self/ns/uts').st_ino)")
    _, texts = await kernel.run("print(os.stat('/proc/self/ns/uts').st_ino)")
    running = asyncio.create_task(kernel.run("import time; time.sleep(300)"))
    container = await _running(api, "import time; time.sleep(300)")
    details = await api.ask("GET containers/<id>", container)
    uts = next(one for one in details["namespaces"] if one["kind"] == "uts")
    assert uts["previous_inode"] == int(texts[0])
    await api.ask("POST containers/<id>/kill", container)
    await running


async def test_the_last_cell_is_the_one_before_a_container_that_waits(api: Api, kernel: Kernel) -> None:
    _, texts = await kernel.run("import os; print(os.stat('/proc/self/ns/uts').st_ino)")
    await kernel.run("%layers")  # which waits until head is there
    details = await api.ask("GET containers/<id>", await _waiting(api))
    uts = next(one for one in details["namespaces"] if one["kind"] == "uts")
    assert uts["previous_inode"] == int(texts[0])


def test_the_command_line_does_as_docker_does(cellstack: Run, program: Program) -> None:
    one, other = program("sleep", "300").id, program("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done").id

    def said(*arguments: str) -> tuple[int, str]:
        done = cellstack(*arguments)
        return done.returncode, done.stdout

    def listed(*arguments: str) -> Any:
        return json.loads(said(*arguments, "--format", "json")[1])

    assert said("pause", one) == (0, f"{one}\n")
    assert said("pause", one) == (1, "")
    shown = {entry["id"]: entry["status"] for entry in listed("ps")}
    assert (shown[one], shown[other]) == ("paused", "running")
    assert said("unpause", one) == (0, f"{one}\n")
    assert [entry["command"] for entry in listed("top", one)] == ["cellstack-init", "sleep 300"]
    assert {entry["id"] for entry in listed("stats", "--no-stream", one, other)} == {one, other}
    assert said("kill", "nobody", one) == (1, f"{one}\n")
    assert said("kill", "-s", "NONSENSE", other)[0] == 2
    assert said("stop", other[:6]) == (0, f"{other[:6]}\n")
    assert said("stop", other)[0] == 1


@pytest.mark.parametrize(("script", "code"), [("sleep 1; exit 7", "7"), ("sleep 1; kill -KILL $$", "137")])
def test_wait_prints_the_exit_code(cellstack: Run, program: Program, script: str, code: str) -> None:
    container = program("sh", "-c", script)
    assert cellstack("wait", container.id).stdout == f"{code}\n"
