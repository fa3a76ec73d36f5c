"""The kernel's end of live views: one widget model for each kind, spoken to by Jupyter's widget protocol.

A model's id is its kind's name. So there are at most four, a browser that comes back asks for them by these names, and
a notebook that is opened again finds those of the new kernel.

Guarantees:
- Nothing is sent to a model that no front end shows, and after `comm_close`.
- A front end that has gone without a word is noticed: each message takes one of `CREDIT`, and what shows a view says
  from time to time that it has taken some (`more`). Without that the kernel falls silent after `CREDIT` messages.
- What a front end sends is looked at word by word; what makes no sense changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellstack_kernel.runs import Nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cellstack_kernel.runs import FrontEnd

PARTS = {
    "layers": ("layers",),
    "namespaces": ("namespaces",),
    "cgroup": ("usage", "samples", "limits"),
    "dashboard": ("layers", "namespaces", "usage", "samples", "limits"),
}
TARGET, CONTROL = "jupyter.widget", "jupyter.widget.control"
PROTOCOL = "2.1.0"  # of widgets: https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md
VIEW = "application/vnd.jupyter.widget-view+json"
CREDIT = 40  # messages; a view says `more` after every eighth
MAX_FRONT_ENDS = 100
MAX_VALUE = 32  # characters of a limit
LIMITS = ("memory", "cpus", "pids", "timeout")
_PREFIX = "cellstack-"


@dataclass(slots=True)
class _Model:
    kind: str
    state: dict[str, Any]
    shown: dict[str, int] = field(default_factory=dict)  # views, by the session of the front end that has them
    credit: int = 0

    @property
    def is_watched(self) -> bool:
        return self.credit > 0 and any(self.shown.values())


class Models:
    """The models that are open. front: takes what nobody has asked for.

    on_shown: called when a front end begins to show one, which has to be brought up to date then.
    """

    def __init__(self, front: FrontEnd | None = None, on_shown: Callable[[], None] = lambda: None) -> None:
        self.front = front or Nobody()
        self._on_shown = on_shown
        self._open: dict[str, _Model] = {}

    @staticmethod
    def id_of(kind: str) -> str:
        """Return the id of the model of a kind."""
        return f"{_PREFIX}{kind}"

    @classmethod
    def targets(cls, kinds: Iterable[str]) -> dict[str, str]:
        """Return the target of the comm of each kind, by its id."""
        return {cls.id_of(kind): TARGET for kind in kinds}

    @property
    def comms(self) -> dict[str, str]:
        """The target of each comm that is open."""
        return self.targets(model.kind for model in self._open.values())

    @property
    def states(self) -> dict[str, Any]:
        """The models as `update_states` tells of them."""
        return {
            name: {
                "model_name": "AnyModel",
                "model_module": "anywidget",
                "model_module_version": model.state["_model_module_version"],
                "state": model.state,
            }
            for name, model in self._open.items()
        }

    def wants(self, part: str) -> bool:
        """Tell whether a front end shows a part of what there is to see."""
        return any(model.is_watched and part in PARTS[model.kind] for model in self._open.values())

    def show(self, kind: str, facts: dict[str, Any], front: FrontEnd) -> dict[str, Any]:
        """Open the model of a kind if it is not, and bring it up to date; return what shows it in a mimebundle."""
        name = self.id_of(kind)
        if name not in self._open:
            self.expect(kind, facts)
            state = self._open[name].state
            content = {"comm_id": name, "target_name": TARGET, "data": {"state": state, "buffer_paths": []}}
            front.publish("comm_open", content, metadata={"version": PROTOCOL})
        else:
            self._update(name, facts, front)
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": name}}

    def expect(self, kind: str, facts: dict[str, Any]) -> None:
        """Have the model of a kind open that a front end knows already: from the notebook's file."""
        self._open[self.id_of(kind)] = _Model(kind, {**_fixed(kind), **{part: facts[part] for part in PARTS[kind]}})

    def update(self, facts: dict[str, Any]) -> None:
        """Send what is new of the parts in `facts` to the models that are watched."""
        for name, model in list(self._open.items()):
            if model.is_watched:
                self._update(name, facts, self.front)

    def _update(self, name: str, facts: dict[str, Any], front: FrontEnd) -> None:
        model = self._open[name]
        new = {part: facts[part] for part in PARTS[model.kind] if part in facts and model.state[part] != facts[part]}
        if new:
            model.state.update(new)
            model.credit -= 1
            _send(front, name, {"method": "update", "state": new, "buffer_paths": []})

    def answer(self, kind: str, text: str, front: FrontEnd, *, ok: bool) -> None:
        """Tell the views of a kind what came of their form."""
        _send(front, self.id_of(kind), {"method": "custom", "content": {"kind": "limits", "ok": ok, "text": text}})

    def receive(self, message: dict[str, Any], front: FrontEnd) -> tuple[str, dict[str, str]] | None:
        """Take a comm message; return the kind of view and the limits when one asks for these."""
        content = message["content"]
        name, data = content["comm_id"], content.get("data", {})
        if message["header"]["msg_type"] == "comm_close":
            self._open.pop(name, None)
            return None
        model = self._open.get(name)
        if model is None:
            return None
        if data.get("method") == "request_state":
            _send(front, name, {"method": "update", "state": model.state, "buffer_paths": []})
        said = data.get("content")
        if data.get("method") != "custom" or not isinstance(said, dict):
            return None
        session = str(message["header"].get("session"))
        if said.get("kind") in ("shown", "more", "hidden"):
            self._count(model, session, said["kind"])
        elif said.get("kind") == "limits" and "limits" in PARTS[model.kind]:
            return model.kind, _limits(said.get("limits"))
        return None

    def _count(self, model: _Model, session: str, what: str) -> None:
        if model.credit <= 0:
            model.shown.clear()  # those who are still there say so
        was_watched = model.is_watched
        before = model.shown.pop(session, 0)
        count = before - 1 if what == "hidden" else before + 1 if what == "shown" else max(before, 1)
        if count > 0:
            model.shown[session] = count  # last, as the one that was heard of last
        if what != "hidden":
            model.credit = CREDIT
        if len(model.shown) > MAX_FRONT_ENDS:
            del model.shown[next(iter(model.shown))]
        if what == "shown" or (model.is_watched and not was_watched):
            self._on_shown()


class Joined:
    """A front end that is told of the kernel's models with those of cells, when it asks for all that there are."""

    def __init__(self, front: FrontEnd, models: Models) -> None:
        self._front = front
        self._models = models
        self.ask, self.drained = front.ask, front.drained

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Pass one output on."""
        data = content.get("data")
        if msg_type == "comm_msg" and isinstance(data, dict) and data.get("method") == "update_states":
            states = data.get("states")
            others = states if isinstance(states, dict) else {}
            content = {**content, "data": {**data, "states": {**others, **self._models.states}}}
        self._front.publish(msg_type, content, **parts)


def _send(front: FrontEnd, comm: str, data: dict[str, Any]) -> None:
    front.publish("comm_msg", {"comm_id": comm, "data": data})


def _limits(value: Any) -> dict[str, str]:
    """Return the limits that a form asks for, by name, as they were typed; of anything else nothing."""
    if not isinstance(value, dict):
        return {}
    return {
        name: text for name in LIMITS if isinstance(text := value.get(name), str) and 0 < len(text.strip()) <= MAX_VALUE
    }


def module_version() -> str | None:
    """Return the versions of anywidget that can draw these views, as semver has it; None when it is not installed."""
    try:
        major, minor, *_ = version("anywidget").split(".")
    except PackageNotFoundError:
        return None
    return f"~{major}.{minor}.*"


def kinds_in(path: str | None) -> list[str]:
    """Return the kinds of views that outputs in a notebook's file show; none where anywidget is not installed."""
    if path is None or module_version() is None:
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:  # it has not been saved yet
        return []
    return [kind for kind in PARTS if f'"model_id": "{_PREFIX}{kind}"' in text]


def _fixed(kind: str) -> dict[str, Any]:
    """Return what of a model's state never changes."""
    folder, semver = files(__package__), module_version()
    return {
        "_model_module": "anywidget",
        "_model_module_version": semver,
        "_model_name": "AnyModel",
        "_view_module": "anywidget",
        "_view_module_version": semver,
        "_view_name": "AnyView",
        "_view_count": None,
        "_dom_classes": [],
        "_anywidget_id": f"cellstack.{kind}",
        "_esm": (folder / "view.js").read_text(encoding="utf-8"),
        "_css": (folder / "view.css").read_text(encoding="utf-8"),
        "kind": kind,
    }
