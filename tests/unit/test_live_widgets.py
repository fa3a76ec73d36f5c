"""Widgets react to the front end when their cell is long over, in another process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_guest import manifest

if TYPE_CHECKING:
    from tests.guest_cells import Cells, Run

pytest.importorskip("ipywidgets")


def comm_of(run: Run, model: str) -> str:
    """Return the comm of the only widget of a model that a cell has opened."""
    opened = [frame["content"] for frame in run.all("comm") if frame["msg_type"] == "comm_open"]
    [comm] = [each["comm_id"] for each in opened if each["data"]["state"]["_model_name"] == model]
    return str(comm)


def message(comm: str, **data: Any) -> dict[str, Any]:
    """Return a comm message."""
    content = {"comm_id": comm, "data": {"method": "update", "buffer_paths": [], **data}}
    return {"type": "comm", "msg_type": "comm_msg", "content": content, "number": 7}


def tell(notebook: Cells, comm: str, *buffers: bytes, **data: Any) -> Run:
    """Give a comm message to the process of its own that reacts to it."""
    run = notebook.start("event", code="", comms=[comm], letters=1)
    run.send(message(comm, **data), buffers)
    notebook.finish(run)
    assert run.reply["taken"] == [7]
    return run


class Live:
    """A process that reacts to clicks on a button, `b` of the cell `code`, until it is ended."""

    def __init__(self, notebook: Cells, callback: str) -> None:
        notebook.run("import asyncio, threading, time, ipywidgets as w")
        shown = notebook.run(f"{callback}\nb = w.Button()\nb.on_click(callback)\nb")
        self._notebook, self._button = notebook, comm_of(shown, "ButtonModel")
        self._click = message(self._button, method="custom", content={"event": "click"})
        self._event: dict[str, Any] = {"code": "", "comms": [self._button], "letters": 1, "keep": True}
        self.run = notebook.start("event", **self._event)
        self.run.send(self._click)
        self.run.until("reply")

    def click_again(self) -> None:
        """Click; return once the callback has run."""
        self.run.frames.clear()
        self.run.send({**self._event, "type": "event", "state": self._notebook.state})
        self.run.send(self._click)
        self.run.until("reply")

    def offer(self) -> None:
        """Send a click that comes while something else is done."""
        self.run.send(self._click)

    @property
    def said(self) -> list[str]:
        """What has been printed up to now, and the states that the front end was sent."""
        updates = [each["content"]["data"].get("state", {}) for each in self.run.all("comm")]
        return [self.run.stdout, *(each["description"] for each in updates if "description" in each)]

    def end(self, *, patience: float = 0) -> Run:
        """End it, with as many seconds for what its callbacks have left."""
        self.run.frames.clear()
        layer = max(os.listdir(self._notebook.root), key=lambda name: int(name.removeprefix("layer")))
        self.run.send({"type": "end", "code": "", "state": self._notebook.state, "layer": layer, "patience": patience})
        return self._notebook.finish(self.run)


LATER = """
async def later(b, text):
    await asyncio.sleep(.2)
    b.description = text
    print(text)
"""
TASKS = {
    "create_task": "asyncio.create_task(later(b, 'T'))",
    "ensure_future": "asyncio.ensure_future(later(b, 'T'))",
    "get_event_loop": "asyncio.get_event_loop().create_task(later(b, 'T'))",
}
THREAD = """
def work(b, seconds):
    time.sleep(seconds)
    b.description = 'T'
    print('T')
"""


def test_a_callback_runs_and_what_it_changes_is_kept(notebook: Cells) -> None:
    notebook.run("import ipywidgets as w\nfactor, results = 10, []")
    notebook.run("def react(change):\n    results.append(change.new * factor)\n    print('now', change.new)")
    run = notebook.run("slider = w.IntSlider(3)\nslider.observe(react, 'value')\nslider")
    notebook.run("factor = 100")
    assert tell(notebook, comm_of(run, "IntSliderModel"), state={"value": 5}).stdout == "now 5\n"
    assert notebook.run("slider.value, results").result == "(5, [500])"


def test_a_widget_that_no_variable_has_reacts(notebook: Cells) -> None:
    run = notebook.run(
        "import ipywidgets as w\nclicks = []\nbutton = w.Button()\n"
        "button.on_click(lambda _: clicks.append(1))\ndisplay(button)\ndel button"
    )
    button = comm_of(run, "ButtonModel")
    for _ in range(2):
        tell(notebook, button, method="custom", content={"event": "click"})
    assert notebook.run("clicks").result == "[1, 1]"


def test_interact_calls_its_function(notebook: Cells) -> None:
    notebook.run("import ipywidgets as w\nbase = 100\ndef show(n):\n    print('shows', base + n)\n    return n")
    run = notebook.run("w.interact(show, n=(0, 10))\nbase = 200")
    again = tell(notebook, comm_of(run, "IntSliderModel"), state={"value": 7})
    assert again.stdout == "shows 207\n"
    [shown] = again.all("display_data")
    assert shown["data"]["text/plain"] == "7"


def test_an_error_in_a_callback_is_shown(notebook: Cells) -> None:
    run = notebook.run("import ipywidgets as w\nt = w.Text()\nt.observe(lambda c: 1 / 0, 'value')\nt")
    assert "ZeroDivisionError" in tell(notebook, comm_of(run, "TextModel"), state={"value": "x"}).traceback
    assert notebook.run("t.value").result == "'x'"


def test_a_widget_that_is_closed_is_forgotten(notebook: Cells) -> None:
    run = notebook.run("import ipywidgets as w\nt = w.Text()\nt")
    notebook.run("t.close()\ndel t")
    run_again = notebook.start("event", code="", comms=[comm_of(run, "TextModel")], letters=0)
    assert notebook.finish(run_again).reply["taken"] == []


def test_what_a_callback_changes_in_a_module_is_kept(notebook: Cells) -> None:
    run = notebook.run(
        "import ipywidgets as w, textwrap\nt = w.Text()\n"
        "def set_it(change):\n    textwrap.limit = change.new\nt.observe(set_it, 'value')\nt"
    )
    tell(notebook, comm_of(run, "TextModel"), state={"value": "x"})
    assert notebook.run("import textwrap\ntextwrap.limit").result == "'x'"


def test_a_widget_that_cannot_be_carried_is_spoken_of_once(notebook: Cells) -> None:
    code = "import ipywidgets as w, threading\nheld = threading.Lock()\nheld.acquire()\nt = w.Text()\n"
    run = notebook.run(f"{code}t.observe(lambda c, _lock=held: None, 'value')\ndisplay(t)\ndel t, held")
    assert run.notices == ["a widget of this cell will not react after it: _thread.lock cannot be carried"]


def test_a_file_that_is_uploaded_is_there_with_its_bytes(notebook: Cells) -> None:
    run = notebook.run("import ipywidgets as w\nupload = w.FileUpload()\nupload")
    uploaded = {"name": "a.bin", "type": "", "size": 4, "last_modified": 0}
    state = {"value": [uploaded]}
    tell(notebook, comm_of(run, "FileUploadModel"), b"\x00\xff\n1", state=state, buffer_paths=[["value", 0, "content"]])
    assert notebook.run("[bytes(f.content) for f in upload.value]").result == r"[b'\x00\xff\n1']"


def test_play_moves_what_python_has_linked_to_it(notebook: Cells) -> None:
    run = notebook.run(
        "import ipywidgets as w\nplay, text = w.Play(), w.IntText()\n"
        "link = w.link((play, 'value'), (text, 'value'))\nplay"
    )
    moved = tell(notebook, comm_of(run, "PlayModel"), state={"value": 4})
    updates = [each["content"]["data"] for each in moved.all("comm") if each["content"]["data"]["method"] == "update"]
    assert {"value": 4} in [each["state"] for each in updates]
    assert notebook.run("play.value, text.value").result == "(4, 4)"


def test_a_link_that_the_front_end_holds_is_carried(notebook: Cells) -> None:
    run = notebook.run(
        "import ipywidgets as w\na, b = w.IntSlider(), w.IntText()\nlink = w.jslink((a, 'value'), (b, 'value'))\na"
    )
    assert comm_of(run, "LinkModel")
    tell(notebook, comm_of(run, "IntSliderModel"), state={"value": 6})
    tell(notebook, comm_of(run, "IntTextModel"), state={"value": 6})
    assert notebook.run("a.value, b.value, link.source[0] is a").result == "(6, 6, True)"


def test_an_anywidget_gets_messages_and_answers_them(notebook: Cells) -> None:
    pytest.importorskip("anywidget")
    run = notebook.run(
        "import anywidget, traitlets\n"
        "class Counter(anywidget.AnyWidget):\n"
        "    _esm = 'export default { render() {} }'\n"
        "    value = traitlets.Int(0).tag(sync=True)\n"
        "counter = Counter()\n"
        "counter.on_msg(lambda self, content, buffers: self.send({'got': content, 'bytes': buffers[0].nbytes}))\n"
        "counter"
    )
    comm = comm_of(run, "AnyModel")
    tell(notebook, comm, state={"value": 3})
    answered = tell(notebook, comm, b"12345", method="custom", content={"ask": 1})
    [answer] = [each["content"]["data"] for each in answered.all("comm")]
    assert answer == {"method": "custom", "content": {"got": {"ask": 1}, "bytes": 5}}
    assert notebook.run("counter.value").result == "3"


def test_a_figure_of_ipympl_is_drawn_again_by_what_the_front_end_asks(notebook: Cells) -> None:
    pytest.importorskip("ipympl")
    notebook.run("%matplotlib widget\nimport matplotlib.pyplot as plt")
    run = notebook.run("fig, ax = plt.subplots()\nline, = ax.plot([1, 2])\nfig.canvas")
    canvas = comm_of(run, "MPLCanvasModel")
    drawn = tell(notebook, canvas, method="custom", content={"type": "draw"})
    assert any(each["content"]["data"]["method"] == "custom" for each in drawn.all("comm"))
    assert notebook.run("line.get_ydata().tolist()").result == "[1, 2]"


def test_what_means_all_widgets_means_those_of_earlier_cells(notebook: Cells) -> None:
    slider = comm_of(notebook.run("import ipywidgets as w\nw.IntSlider()"), "IntSliderModel")
    assert slider in str(notebook.run("[*w.Widget.get_manager_state()['state']]").result)
    closed = notebook.run("w.Widget.close_all()").all("comm")
    assert slider in {each["content"]["comm_id"] for each in closed if each["msg_type"] == "comm_close"}
    assert notebook.run("w.Widget.get_manager_state()['state']").result == "{}"


def test_a_figure_of_ipympl_that_is_open_goes_on_in_its_canvas(notebook: Cells) -> None:
    pytest.importorskip("ipympl")
    notebook.run("%matplotlib widget\nimport matplotlib.pyplot as plt")
    run = notebook.run("fig, ax = plt.subplots()\nline, = ax.plot([1, 2])\nplt.show()")
    canvas = comm_of(run, "MPLCanvasModel")
    for code in ("1 + 1", "ax.set_title('later')\nfig.canvas.draw()", "plt.gcf() is fig, fig.canvas.manager.num"):
        run = notebook.run(code)
        assert {each["content"]["comm_id"] for each in run.all("comm")} <= {canvas}
        assert {each["msg_type"] for each in run.all("comm")} <= {"comm_msg"}
        assert bool(run.all("comm")) or "draw" not in code
        assert run.all("display_data") == []
        assert run.notices == []
    assert run.result == "(True, 1)"
    drawn = tell(notebook, canvas, method="custom", content={"type": "draw"})
    assert any(each["content"]["data"]["method"] == "custom" for each in drawn.all("comm"))
    closed = notebook.run("plt.close('all')")
    assert [each["msg_type"] for each in closed.all("comm")] == ["comm_close"]


def test_the_manifest_says_what_comms_were_opened_for(notebook: Cells) -> None:
    run = notebook.run("import ipywidgets as w\nt = w.Text()\nt")
    notebook.run("x = 1")
    last = notebook.run("u = w.Text()")
    targets = manifest.read(notebook.root, last.reply["state"])["comms"]
    assert targets[f"comm:{comm_of(run, 'TextModel')}"] == "jupyter.widget"
    assert set(targets.values()) == {"jupyter.widget"}
    after = notebook.run("t.close(); u.close()\ndel t, u")
    assert comm_of(run, "TextModel") not in str(manifest.read(notebook.root, after.reply["state"])["comms"])


@pytest.mark.parametrize("how", TASKS)
def test_a_task_that_a_callback_has_made_goes_on_after_it(notebook: Cells, how: str) -> None:
    live = Live(notebook, f"{LATER}\ndef callback(b):\n    {TASKS[how]}")
    assert live.run.reply["busy"]
    live.run.until("rest")
    assert live.said == ["T\n", "T"]
    assert live.end().notices == []
    assert notebook.run("b.description").result == "'T'"


def test_a_call_that_a_callback_puts_off_comes_and_one_that_is_cancelled_does_not(notebook: Cells) -> None:
    live = Live(
        notebook,
        "timers = []\ndef callback(b):\n    for timer in timers:\n        timer.cancel()\n"
        "    timers[:] = [asyncio.get_running_loop().call_later(.3, print, f'after {b.description}')]\n"
        "    b.description += 'x'",
    )
    live.click_again()
    live.click_again()
    live.run.until("rest")
    assert live.run.stdout == "after xx\n"
    live.end()


def test_a_task_that_fails_or_exits_ends_nothing_else(notebook: Cells) -> None:
    live = Live(
        notebook,
        f"{LATER}\nasync def fail():\n    fails\nasync def leave():\n    raise SystemExit\ndef callback(b):\n"
        "    for each in (fail(), leave(), later(b, 'T')):\n        asyncio.create_task(each)",
    )
    live.run.until("rest")
    assert live.run.stdout == "T\n"
    assert "NameError" in live.run.stderr
    assert [each["ename"] for each in live.run.all("error")] == ["SystemExit"]
    live.end()


def test_a_thread_that_a_callback_has_started_goes_on_after_it(notebook: Cells) -> None:
    live = Live(notebook, f"{THREAD}\ndef callback(b):\n    threading.Thread(target=work, args=(b, .3)).start()")
    assert live.run.reply["busy"]
    live.run.until("rest")
    assert live.said == ["T\n", "T"]
    live.end()
    assert notebook.run("b.description").result == "'T'"


def test_callbacks_run_while_a_thread_of_another_does(notebook: Cells) -> None:
    live = Live(
        notebook,
        f"{THREAD}\ndef callback(b):\n    print('clicked')\n    if threading.active_count() == 1:\n"
        "        threading.Thread(target=work, args=(b, .5)).start()",
    )
    live.click_again()
    assert live.run.stdout == "clicked\n"
    live.run.until("rest")
    assert live.run.stdout == "clicked\nT\n"
    live.end()


def test_what_callbacks_have_left_gets_a_little_time_at_the_end(notebook: Cells) -> None:
    live = Live(notebook, f"{LATER}\ndef callback(b):\n    asyncio.create_task(later(b, 'T'))")
    ended = live.end(patience=10)
    assert (ended.stdout, ended.notices) == ("T\n", [])
    assert notebook.run("b.description").result == "'T'"


def test_what_takes_longer_ends_and_it_is_said(notebook: Cells) -> None:
    live = Live(
        notebook,
        f"{THREAD}\ndef callback(b):\n    asyncio.create_task(asyncio.sleep(60))\n"
        "    threading.Thread(target=work, args=(b, 60), name='mine').start()",
    )
    assert live.end(patience=0.2).notices == [
        "1 asyncio task was still running and ended with the cell; %container scope=notebook lets it go on",
        "thread 'mine' was still running and ended with the cell; %container scope=notebook lets it go on",
    ]


def test_a_message_that_comes_while_a_callback_runs_is_left_for_later(notebook: Cells) -> None:
    live = Live(notebook, "clicks = []\ndef callback(b):\n    clicks.append(1)")
    live.offer()
    live.click_again()
    live.end()
    assert notebook.run("clicks").result == "[1, 1]"
