"""The magics that show live views: what they put out, what the kernel sends while cells run, what a form changes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.kernels import PATIENCE

from cellstack_kernel.widgets.models import VIEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
GROWS = "import time\nkeep = []\nfor _ in range({rounds}):\n    keep.append(bytearray(2**20))\n    time.sleep(.05)"


def bundle(kernel: Running, code: str) -> dict[str, Any]:
    """Return the mimebundle that a cell displays."""
    shown: list[dict[str, Any]] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            shown.append(message["content"]["data"])

    kernel.client.execute_interactive(code, timeout=PATIENCE, output_hook=keep)
    [data] = shown
    return data


class Browser:
    """The front end of one live view, that keeps what its model says."""

    def __init__(self, kernel: Running, magic: str) -> None:
        pytest.importorskip("anywidget")
        self.client = kernel.client
        self.model = bundle(kernel, magic)[VIEW]["model_id"]
        self.state: dict[str, Any] = {}
        self.count = 0
        self.answers: list[dict[str, Any]] = []
        self.until(self.send({"method": "request_state"}))

    def send(self, data: dict[str, Any], msg_type: str = "comm_msg") -> str:
        message = self.client.session.msg(msg_type, {"comm_id": self.model, "data": data})
        self.client.shell_channel.send(message)
        sent: str = message["header"]["msg_id"]
        return sent

    def say(self, kind: str, **fields: Any) -> None:
        self.until(self.send({"method": "custom", "content": {"kind": kind, **fields}}))

    def until(self, request: str) -> dict[str, Any]:
        """Take messages until a request is answered, and return its reply if it has one."""
        self._take(
            lambda message: (
                message["parent_header"].get("msg_id") == request
                and message["content"].get("execution_state") == "idle"
            )
        )
        return {}

    def when(self, true: Callable[[], bool]) -> None:
        """Take messages until something is true."""
        if not true():
            self._take(lambda _: true())

    def run(self, code: str) -> None:
        """Run a cell."""
        self.until(self.client.execute(code))

    def _take(self, last: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            content = message["content"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == self.model:
                if content["data"]["method"] == "update":
                    self.state.update(content["data"]["state"])
                    self.count += 1
                else:
                    self.answers.append(content["data"]["content"])
            if last(message):
                return


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        ("layers", ["CELL", "LAYER", "CHANGES", "PEAK"]),
        ("namespaces", ["NAMESPACE", "HOST", "ISOLATES"]),
        ("cgroup", ["RESOURCE", "HELD BY"]),
        ("dashboard", ["LAYER", "OF A CELL", "NAMESPACE", "RESOURCE"]),
    ],
)
def test_a_magic_shows_a_live_view_a_picture_and_a_text(kernel: Running, magic: str, words: list[str]) -> None:
    kernel.run("'<b>bold</b>'")
    data = bundle(kernel, f"%{magic}")
    assert [word for word in words if word not in data["text/plain"]] == []
    assert data["text/html"].startswith("<")
    assert "<b>bold" not in data["text/html"]
    pytest.importorskip("anywidget")
    assert data[VIEW] == {"version_major": 2, "version_minor": 0, "model_id": f"cellstack-{magic}"}


def test_a_program_that_runs_notebooks_gets_the_picture(kernel: Running) -> None:
    kernel.client.allow_stdin = False
    assert set(bundle(kernel, "%layers")) == {"text/plain", "text/html"}


def test_a_notebook_that_is_opened_again_finds_its_views(kernel: Running) -> None:
    data = bundle(kernel, "%dashboard")
    view = Browser(kernel, "%layers")
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    kernel.notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "outputs": [output]}]}, indent=1))
    kernel.again(now=False)
    view.client = kernel.client
    view.model = data[VIEW]["model_id"]
    view.until(view.send({"method": "request_state"}))
    assert view.state["layers"]["rows"] == []
    view.say("shown")
    view.run("x = 1")
    view.when(lambda: [row["code"] for row in view.state["layers"]["rows"]] == ["x = 1"])
    view.until(view.send({"method": "request_state"}))
    assert any(row["inside"] for row in view.state["namespaces"]["rows"])


def test_a_dashboard_is_there_before_the_first_cell(kernel: Running) -> None:
    assert "image" in bundle(kernel, "%dashboard")["text/plain"]


def test_a_view_is_told_what_a_cell_uses_while_it_runs(kernel: Running) -> None:
    view = Browser(kernel, "%cgroup" if kernel.run("1")[1] else "")
    view.say("shown")
    request = kernel.client.execute(GROWS.format(rounds=60))
    view.when(lambda: len(view.state["samples"]["points"]) >= 3)
    assert view.state["usage"]["running"]
    points = view.state["samples"]["points"]
    assert points[-1][0] > points[0][0]
    assert points[-1][1] > points[0][1]
    view.until(request)
    view.when(lambda: not view.state["usage"]["running"])
    assert view.state["usage"]["number"] == view.state["samples"]["number"]


def test_a_view_that_nobody_shows_is_told_nothing(kernel: Running) -> None:
    kernel.run("1")
    view = Browser(kernel, "%dashboard")
    view.count = 0
    view.run(GROWS.format(rounds=30))
    assert view.count == 0
    view.say("shown")
    view.when(lambda: view.state["usage"]["number"] == 3)  # brought up to date
    view.say("hidden")
    view.count = 0
    view.run(GROWS.format(rounds=30))
    assert view.count == 0
    view.say("shown")
    view.when(lambda: view.state["usage"]["number"] == 4)
    view.until(view.send({}, "comm_close"))
    view.count = 0
    view.run(GROWS.format(rounds=30))
    assert view.count == 0
    [again] = [bundle(kernel, "%dashboard")[VIEW]["model_id"]]
    assert again == view.model


def test_layers_and_head_are_told_of(kernel: Running) -> None:
    view = Browser(kernel, "%layers")
    view.say("shown")
    view.run("x = 1")
    view.run("x = 2")
    view.when(lambda: [row["code"] for row in view.state["layers"]["rows"]] == ["x = 1", "x = 2"])
    head = view.state["layers"]["head"]
    view.run("%undo")
    view.when(lambda: view.state["layers"]["head"] != head)
    assert [row["on_path"] for row in view.state["layers"]["rows"]] == [True, False]


def test_namespaces_are_those_of_the_last_cell_beside_the_one_before(kernel: Running) -> None:
    kernel.run("1")
    kernel.run("2")
    view = Browser(kernel, "%namespaces")
    facts = view.state["namespaces"]
    assert (facts["number"], facts["before"]) == (2, 1)
    assert [row["kind"] for row in facts["rows"] if len({row["inode"], row["host"], row["before"]}) < 3] == []
    inside = {row["kind"]: row["inside"] for row in facts["rows"]}
    assert (inside["net"][0].split()[0], inside["uts"][0].split()[0]) == ("lo", "hostname")
    assert any(line.startswith("/work ") for line in inside["mnt"])


def test_a_form_changes_the_limits_of_the_running_cell_and_of_the_next(kernel: Running) -> None:
    kernel.run("1")
    view = Browser(kernel, "%cgroup")
    held = view.state["usage"]["held_by"].get("memory")
    view.say("shown")
    request = kernel.client.execute(GROWS.format(rounds=80))
    view.when(lambda: bool(view.state["usage"]["running"]))
    view.say("limits", limits={"memory": "300m", "pids": "200"})
    [answer] = view.answers
    assert answer["ok"], answer
    if held == "cgroup":
        assert answer["text"] == "At once, and for the cells that follow."
        view.when(lambda: view.state["usage"]["limits"]["memory"] == 300 * 2**20)
        assert view.state["usage"]["running"]
    view.until(request)
    view.when(lambda: view.state["limits"] == {**view.state["limits"], "memory": "300m", "pids": "200"})
    assert "300 MiB" in bundle(kernel, "%limits")["text/plain"]


@pytest.mark.parametrize("limits", [{"memory": "lots"}, {"memory": "1k"}, {"cpus": "-1"}, {"pids": "1.5"}])
def test_a_form_that_asks_for_what_is_no_limit_is_told_so(kernel: Running, limits: dict[str, str]) -> None:
    kernel.run("1")
    view = Browser(kernel, "%cgroup")
    before = bundle(kernel, "%limits")
    view.say("limits", limits=limits)
    [answer] = view.answers
    assert (answer["ok"], next(iter(limits)) in answer["text"]) == (False, True)
    assert bundle(kernel, "%limits") == before


def test_a_browser_that_comes_back_finds_views_with_the_widgets_of_cells(kernel: Running) -> None:
    pytest.importorskip("ipywidgets")
    kernel.run("import ipywidgets\nslider = ipywidgets.IntSlider()\nslider")
    view = Browser(kernel, "%layers")
    client = kernel.client
    info = client.session.msg("comm_info_request", {"target_name": "jupyter.widget"})
    client.shell_channel.send(info)
    while (reply := client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != info["header"]["msg_id"]:
        pass
    assert view.model in reply["content"]["comms"]
    opened = {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}
    message = client.session.msg("comm_open", opened, metadata={"version": "1.0.0"})
    client.shell_channel.send(message)
    asked = {"comm_id": "control", "data": {"method": "request_states"}}
    client.shell_channel.send(client.session.msg("comm_msg", asked))
    while (said := client.get_iopub_msg(timeout=PATIENCE)["content"]).get("comm_id") != "control":
        pass
    states = said["data"]["states"]
    assert view.model in states
    assert {state["model_name"] for state in states.values()} >= {"AnyModel", "IntSliderModel"}
