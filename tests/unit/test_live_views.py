"""Messages between the kernel and its live views: what is sent to whom, and what front ends may say."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_kernel.widgets import models
from cellstack_kernel.widgets.models import CREDIT, PARTS, VIEW, Joined, Models

if TYPE_CHECKING:
    from pathlib import Path

FACTS: dict[str, Any] = {part: {"of": part} for parts in PARTS.values() for part in parts}


class Sent:
    """A front end that takes down what it is sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        del parts
        self.messages.append((msg_type, content))

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        raise AssertionError(prompt, password)

    async def drained(self) -> None:
        raise AssertionError

    def take(self) -> list[dict[str, Any]]:
        """Return the data of the messages since the last call."""
        taken, self.messages = self.messages, []
        return [content["data"] for _, content in taken]


class Ends:
    """The models of a kernel, and what front ends say to one of them."""

    def __init__(self, kind: str = "cgroup") -> None:
        self.asked = 0
        self.sent, self.cell = Sent(), Sent()
        self.models = Models(self.sent, self._ask)
        self.name = self.models.id_of(kind)
        self.models.show(kind, FACTS, self.cell)

    def _ask(self) -> None:
        self.asked += 1

    def say(self, data: Any, *, session: str = "browser", msg_type: str = "comm_msg") -> Any:
        header = {"msg_type": msg_type, "session": session}
        return self.models.receive({"header": header, "content": {"comm_id": self.name, "data": data}}, self.sent)

    def custom(self, kind: Any, *, session: str = "browser", **fields: Any) -> Any:
        return self.say({"method": "custom", "content": {"kind": kind, **fields}}, session=session)

    def change(self, value: int) -> list[dict[str, Any]]:
        self.models.update({"usage": value})
        return self.sent.take()


def test_a_view_is_opened_once_for_each_kind_and_is_an_anywidget() -> None:
    ends = Ends()
    bundle = ends.models.show("cgroup", {**FACTS, "usage": 2}, ends.cell)
    (opened, content), (updated, change) = ends.cell.messages
    assert (opened, content["comm_id"], content["target_name"]) == ("comm_open", "cellstack-cgroup", "jupyter.widget")
    state = content["data"]["state"]
    assert (state["_model_module"], state["_model_name"], state["kind"]) == ("anywidget", "AnyModel", "cgroup")
    assert "export default" in state["_esm"]
    assert ".cellstack-view" in state["_css"]
    assert (updated, change["data"]["state"]) == ("comm_msg", {"usage": 2})
    assert bundle == {VIEW: {"version_major": 2, "version_minor": 0, "model_id": "cellstack-cgroup"}}


def test_without_anywidget_there_are_no_live_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "version", lambda _: "0.11.3")
    assert models.module_version() == "~0.11.*"

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(models, "version", missing)
    assert models.module_version() is None


def test_a_notebook_s_file_says_which_views_it_shows(tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    notebook = tmp_path / "n.ipynb"
    assert models.kinds_in(str(notebook)) == []
    notebook.write_text('{"model_id": "cellstack-layers"}, {"model_id": "cellstack-odd"}, "cellstack-cgroup"')
    assert (models.kinds_in(str(notebook)), models.kinds_in(None)) == (["layers"], [])


def test_nothing_is_sent_before_a_view_is_shown_and_after_the_last_is_hidden() -> None:
    ends = Ends()
    assert (ends.change(1), ends.models.wants("usage")) == ([], False)
    ends.custom("shown")
    ends.custom("shown")
    assert (ends.asked, ends.models.wants("usage"), ends.models.wants("layers")) == (2, True, False)
    assert ends.change(2) == [{"method": "update", "state": {"usage": 2}, "buffer_paths": []}]
    ends.custom("hidden")
    assert len(ends.change(3)) == 1
    ends.custom("hidden")
    assert (ends.change(4), ends.models.wants("usage")) == ([], False)


def test_what_has_not_changed_is_not_sent_again() -> None:
    ends = Ends()
    ends.custom("shown")
    assert [len(ends.change(value)) for value in (5, 5, 6)] == [1, 0, 1]


def test_a_closed_comm_is_told_nothing_and_may_be_opened_again() -> None:
    ends = Ends()
    ends.custom("shown")
    ends.say({}, msg_type="comm_close")
    assert (ends.change(1), ends.models.comms) == ([], {})
    ends.custom("shown")  # one that was on its way
    assert ends.change(2) == []
    ends.models.show("cgroup", FACTS, ends.cell)
    assert ends.cell.messages[-1][0] == "comm_open"


def test_a_browser_that_has_gone_without_a_word_is_sent_no_more_than_its_credit() -> None:
    ends = Ends()
    ends.custom("shown", session="gone")
    assert sum(len(ends.change(value)) for value in range(3 * CREDIT)) == CREDIT
    assert not ends.models.wants("usage")
    ends.custom("more", session="back")
    assert (ends.asked, len(ends.change(-1))) == (2, 1)
    ends.custom("hidden", session="back")
    assert ends.change(-2) == []  # those that did not speak up are forgotten


def test_views_that_take_what_they_are_sent_are_sent_more() -> None:
    ends = Ends()
    ends.custom("shown")
    for value in range(3 * CREDIT):
        assert len(ends.change(value)) == 1
        if value % 8 == 0:
            ends.custom("more")


def test_one_browser_that_leaves_takes_nothing_from_another() -> None:
    ends = Ends()
    ends.custom("shown", session="a")
    ends.custom("shown", session="b")
    for _ in range(5):
        ends.custom("hidden", session="a")
    assert len(ends.change(1)) == 1


def test_who_comes_back_is_given_the_whole_state() -> None:
    ends = Ends()
    ends.say({"method": "request_state"})
    [data] = ends.sent.take()
    assert (data["method"], data["state"]["usage"], data["state"]["kind"]) == ("update", FACTS["usage"], "cgroup")


def test_models_of_the_kernel_are_told_with_those_of_cells() -> None:
    ends = Ends()
    of_cell = {"comm_id": "c", "data": {"method": "update_states", "states": {"slider": {}}, "buffer_paths": []}}
    Joined(ends.sent, ends.models).publish("comm_msg", of_cell)
    Joined(ends.sent, ends.models).publish("comm_msg", {"data": {"method": "update_states", "states": "none"}})
    Joined(ends.sent, ends.models).publish("stream", {"name": "stdout", "text": "x"})
    told = [content.get("data", {}).get("states", {}).keys() for _, content in ends.sent.messages]
    assert told == [{"slider", ends.name}, {ends.name}, set()]
    assert of_cell["data"]["states"] == {"slider": {}}  # type: ignore[index]


def test_a_form_asks_for_limits_as_they_were_typed() -> None:
    ends = Ends()
    assert ends.custom("limits", limits={"memory": "512m", "cpus": "unlimited"}) == (
        "cgroup",
        {"memory": "512m", "cpus": "unlimited"},
    )
    assert Ends("layers").custom("limits", limits={"memory": "512m"}) is None


@pytest.mark.parametrize(
    "limits",
    [
        None,
        "memory=1g",
        ["memory"],
        {"memory": 5},
        {"memory": None},
        {"memory": ""},
        {"memory": "9" * 33},
        {"network": "host"},
        {"__class__": "x"},
        {"memory": ["1g"]},
    ],
)
def test_odd_limits_ask_for_nothing(limits: Any) -> None:
    assert Ends().custom("limits", limits=limits) == ("cgroup", {})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"method": "update", "state": {"usage": "mine", "_esm": "alert(1)"}},
        {"method": "custom"},
        {"method": "custom", "content": "shown"},
        {"method": "custom", "content": {"kind": ["shown"]}},
        {"method": ["custom"], "content": {"kind": "shown"}},
        {"method": "backbone", "sync_data": {"_esm": "x"}},
    ],
)
def test_messages_that_make_no_sense_change_nothing(data: Any) -> None:
    ends = Ends()
    before = ends.models.states
    assert ends.say(data) is None
    assert (ends.models.states, ends.models.wants("usage"), ends.sent.messages) == (before, False, [])


def test_front_ends_without_number_take_no_memory_without_end() -> None:
    ends = Ends()
    for number in range(1_000):
        ends.custom("shown", session=f"s{number}")
    [model] = ends.models._open.values()
    assert len(model.shown) <= 100
