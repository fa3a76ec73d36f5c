"""Widgets outlive the process of their cell: what the front end tells them is known to the next cell that has them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.kernels import PATIENCE, control

if TYPE_CHECKING:
    from tests.kernels import Running

pytest.importorskip("ipywidgets")
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


class FrontEnd:
    """A front end that knows the widgets' models."""

    def __init__(self, kernel: Running) -> None:
        self._kernel = kernel

    def show(self, code: str) -> str:
        """Return the comm of the widget that a cell shows."""
        views: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] in ("display_data", "execute_result"):
                views.append(message["content"]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"])

        self._kernel.client.execute_interactive(code, timeout=PATIENCE, output_hook=keep)
        [model] = views
        return model

    def set(self, widget: str, **state: Any) -> str:
        """Give a widget a state; return what is printed, once it has reacted."""
        return self._send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def click(self, button: str) -> str:
        """Click a button; return what is printed, once it has reacted."""
        return self._send(button, CLICK)

    def _send(self, widget: str, data: dict[str, Any]) -> str:
        self.post(widget, data)
        return self._hear()

    def post(self, widget: str, data: dict[str, Any]) -> None:
        """Send a message, and wait for nothing."""
        client = self._kernel.client
        self._sent = client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        client.shell_channel.send(self._sent)

    def hear(self, text: str) -> str:
        """Return what the last message's reaction shows from now on, up to `text`: prints, and descriptions in <>."""
        return self._hear(text)

    def _hear(self, text: str | None = None) -> str:
        said = ""
        while True:
            message = self._kernel.client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if message["parent_header"].get("msg_id") == self._sent["header"]["msg_id"]:
                said += str(content.get("text", content.get("evalue", "")))
                state = content.get("data", {}).get("state", {}) if message["msg_type"] == "comm_msg" else {}
                said += f"<{state['description']}>" if "description" in state else ""
                if content.get("execution_state") == "idle" if text is None else text in said:
                    return said


CLICK = {"method": "custom", "content": {"event": "click"}}


def test_a_widget_has_the_value_that_it_was_given_between_cells(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets\nseen = []")
    observe = "slider.observe(lambda change: seen.append(change.new), 'value')"
    slider = front.show(f"slider = ipywidgets.IntSlider(3)\n{observe}\nslider")
    for value in (4, 5, 6):
        front.set(slider, value=value)
    assert kernel.run("print('it does not have the slider')")[1] == ["it does not have the slider\n"]
    assert kernel.run("print(slider.value, seen)")[1] == ["6 [4, 5, 6]\n"]
    assert kernel.run("print(slider.value, seen)")[1] == ["6 [4, 5, 6]\n"]


def test_a_value_that_a_killed_cell_has_taken_is_not_lost(kernel: Running) -> None:
    front = FrontEnd(kernel)
    text = front.show("import ipywidgets, os, signal\ntext = ipywidgets.Text('old')\ntext")
    front.set(text, value="new")
    kernel.run("text.value += '!'\nos.kill(os.getpid(), signal.SIGKILL)")
    assert kernel.run("print(text.value)")[1] == ["new\n"]


def test_what_an_output_widget_shows_is_told_by_the_front_end(kernel: Running) -> None:
    front = FrontEnd(kernel)
    shown = front.show("import ipywidgets\nshown = ipywidgets.Output()\nshown")
    kernel.run("with shown: print('inside')")
    front.set(shown, outputs=[{"output_type": "stream", "name": "stdout", "text": "inside"}])
    assert kernel.run("print(shown.outputs[0]['text'])")[1] == ["inside\n"]


def test_callbacks_run_between_cells_and_their_outputs_belong_to_the_message(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets\ntotal = 0")
    kernel.run("def add(_):\n    global total\n    total += 1\n    print('total', total)")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(add)\nbutton")
    assert [front.click(button) for _ in range(3)] == ["total 1\n", "total 2\n", "total 3\n"]
    assert kernel.run("print(total)")[1] == ["3\n"]
    assert front.click(button) == "total 4\n"
    kernel.run("%undo")
    assert front.click(button) == "total 4\n"


def test_a_message_to_a_widget_waits_for_the_cell_that_runs(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, time\nclicks = []")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(lambda _: clicks.append(len(clicks)))\nbutton")
    client = kernel.client
    client.execute("time.sleep(1); clicks.append('cell')")
    front.click(button)
    assert kernel.run("print(clicks)")[1] == ["['cell', 1]\n"]


def test_a_callback_that_dies_loses_what_it_did_and_nothing_else(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, os\nx = 1")
    kernel.run("def die(_):\n    global x\n    x = 2\n    os.kill(os.getpid(), 9)")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(die)\nbutton")
    assert "ended by SIGKILL" in front.click(button)
    assert kernel.run("print(x)")[1] == ["1\n"]


def test_what_a_subshell_leaves_does_not_go_over_what_widgets_have_changed(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets\ntotal = 0")
    kernel.run("def add(_):\n    global total\n    total += 1\n    print('total', total)")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(add)\nbutton")
    subshell = control(kernel, "create_subshell_request")["subshell_id"]
    request = kernel.client.session.msg("execute_request", {"code": "import time; time.sleep(2); beside = 1"})
    request["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(request)
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request["header"]["msg_id"]:
        pass  # it has begun, on the head before the click
    assert front.click(button) == "total 1\n"
    said = ""
    while (message := kernel.client.get_iopub_msg(timeout=PATIENCE))["content"].get("execution_state") != "idle" or (
        message["parent_header"]["msg_id"] != request["header"]["msg_id"]
    ):
        said += str(message["content"].get("text", ""))
    assert "beside the notebook's" in said
    assert kernel.run("print(total, 'beside' in globals())")[1] == ["1 False\n"]
    assert front.click(button) == "total 2\n"


def test_tasks_that_a_callback_has_made_go_on_and_what_they_show_belongs_to_the_message(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import asyncio, ipywidgets")
    kernel.run("async def later(b):\n    await asyncio.sleep(3)\n    b.description = 'TASK'\n    print('task')")
    react = "button.on_click(lambda b: asyncio.create_task(later(b)))"
    button = front.show(f"button = ipywidgets.Button()\n{react}\nbutton")
    assert front.click(button) == ""
    assert front.hear("task\n") == "<TASK>task\n"
    assert kernel.run("print(button.description)")[1] == ["TASK\n"]


def test_threads_that_a_callback_has_started_go_on_and_what_they_show_belongs_to_the_message(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, threading, time")
    kernel.run(
        "def work(b):\n    for i in range(8):\n        time.sleep(.5)\n"
        "        b.description = str(i)\n        print('w', i)"
    )
    react = "button.on_click(lambda b: threading.Thread(target=work, args=(b,)).start())"
    button = front.show(f"button = ipywidgets.Button()\n{react}\nbutton")
    assert front.click(button) == ""
    assert front.hear("w 7\n") == "".join(f"<{i}>w {i}\n" for i in range(8))
    assert kernel.run("print(button.description)")[1] == ["7\n"]


def test_a_cell_gives_a_thread_of_a_callback_a_little_time(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, threading, time")
    kernel.run("def work(b, seconds):\n    time.sleep(seconds)\n    b.description = f'after {seconds}'")
    react = "button.on_click(lambda b: threading.Thread(target=work, args=(b, seconds), name='mine').start())"
    button = front.show(f"button = ipywidgets.Button()\n{react}\nseconds = .5\nbutton")
    front.click(button)
    assert kernel.run("print(button.description)\nseconds = 60")[1] == ["after 0.5\n"]
    front.click(button)
    kernel.client.execute("print('goes on')")
    assert front.hear("cell") == (
        "thread 'mine' was still running and ended with the cell; %container scope=notebook lets it go on\n"
    )
    assert kernel.run("print(button.description)")[1] == ["after 0.5\n"]


def test_a_task_of_a_callback_that_never_gives_the_loop_back_holds_the_next_cell_for_some_seconds(
    kernel: Running,
) -> None:
    front = FrontEnd(kernel)
    kernel.run("import asyncio, ipywidgets, time\nclicks = 0")
    kernel.run("async def hog():\n    print('begins')\n    while True: time.sleep(.1)")
    kernel.run("def react(_):\n    global clicks\n    clicks += 1\n    asyncio.get_running_loop().create_task(hog())")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(react)\nbutton")
    front.click(button)
    front.hear("begins\n")
    began = time.monotonic()
    said = "".join(kernel.run("print(clicks)")[1])
    assert "let nothing else run when a cell came" in said
    assert "What widgets had changed is lost" in said
    assert said.endswith("0\n")
    assert time.monotonic() - began < 30


def test_clicks_do_not_wait_for_threads_of_those_before_them(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, threading, time\nclicks = []")
    react = "button.on_click(lambda b: (clicks.append(1), threading.Thread(target=time.sleep, args=(60,)).start()))"
    button = front.show(f"button = ipywidgets.Button()\n{react}\nbutton")
    began = time.monotonic()
    for _ in range(5):
        front.click(button)
    assert time.monotonic() - began < 30
    assert kernel.run("print(len(clicks))")[1] == ["5\n"]


def test_clicks_that_come_while_a_callback_runs_are_all_had(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets, time\nclicks = []")
    react = "button.on_click(lambda b: (time.sleep(.5), clicks.append(1), print(len(clicks))))"
    button = front.show(f"button = ipywidgets.Button()\n{react}\nbutton")
    for _ in range(3):
        front.post(button, CLICK)
    assert front.hear("3\n") == "3\n"
    assert kernel.run("print(len(clicks))")[1] == ["3\n"]
