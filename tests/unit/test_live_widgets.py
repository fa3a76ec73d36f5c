"""Widgets react to the front end when their cell is long over, in another process."""

from __future__ import annotations

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


def tell(notebook: Cells, comm: str, *buffers: bytes, **data: Any) -> Run:
    """Give a comm message to the process of its own that reacts to it."""
    run = notebook.start("event", code="", comms=[comm], letters=1)
    content = {"comm_id": comm, "data": {"method": "update", "buffer_paths": [], **data}}
    run.send({"type": "comm", "msg_type": "comm_msg", "content": content, "number": 7}, buffers)
    notebook.finish(run)
    assert run.reply["taken"] == [7]
    return run


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


def test_the_manifest_says_what_comms_were_opened_for(notebook: Cells) -> None:
    run = notebook.run("import ipywidgets as w\nt = w.Text()\nt")
    notebook.run("x = 1")
    last = notebook.run("u = w.Text()")
    targets = manifest.read(notebook.root, last.reply["state"])["comms"]
    assert targets[f"comm:{comm_of(run, 'TextModel')}"] == "jupyter.widget"
    assert set(targets.values()) == {"jupyter.widget"}
    after = notebook.run("t.close(); u.close()\ndel t, u")
    assert comm_of(run, "TextModel") not in str(manifest.read(notebook.root, after.reply["state"])["comms"])
