"""What a notebook asks for is granted by the person only, and remembered for that notebook."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_kernel.grants import Grants
from cellstack_kernel.settings import Settings, metadata_of, notebook_path
from cellstack_runtime.config import Config
from cellstack_runtime.errors import GrantError, NotFoundError, UsageError
from cellstack_runtime.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOK = "/home/somebody/a.ipynb"


class Person:
    """A front end whose person always gives one answer; None when nobody is there."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.questions: list[str] = []

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take an output, which none of these tests looks at."""

    async def ask(self, prompt: str, *, password: bool) -> str | None:  # noqa: ARG002
        self.questions.append(prompt)
        return self.answer

    async def drained(self) -> None:
        """Take outputs as fast as they come."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "locks").mkdir()
    return tmp_path


def require(grants: Grants, person: Person) -> None:
    asyncio.run(grants.require("context:rw", "--context rw", person))


@pytest.mark.parametrize("answer", ["", "n", "no", "what?", None])
def test_anything_but_yes_is_no(home: Path, answer: str | None) -> None:
    grants = Grants(Config(str(home)), NOTEBOOK)
    # Who has refused need not be told how to grant it.
    with pytest.raises(GrantError, match="asks again" if answer is not None else "--context rw"):
        require(grants, Person(answer))
    assert grants.granted == []


def test_yes_is_for_this_session(home: Path) -> None:
    grants = Grants(Config(str(home)), NOTEBOOK)
    person = Person("y")
    require(grants, person)
    require(grants, person)
    assert len(person.questions) == 1
    assert Grants(Config(str(home)), NOTEBOOK).granted == []


def test_always_is_remembered_for_this_notebook_and_no_other(home: Path) -> None:
    require(Grants(Config(str(home)), NOTEBOOK), Person("always"))
    assert Grants(Config(str(home)), NOTEBOOK).granted == ["context:rw"]
    assert Grants(Config(str(home)), "/home/somebody/b.ipynb").granted == []
    assert Grants(Config(str(home)), None).granted == []


def test_a_flag_is_a_grant(home: Path) -> None:
    nobody = Person(None)
    require(Grants(Config(str(home)), NOTEBOOK, flags=["context:rw"]), nobody)
    assert nobody.questions == []


def test_two_kernels_remember_what_both_were_granted(home: Path) -> None:
    first, second = Config(str(home)), Config(str(home))
    first.grant(NOTEBOOK, "context:rw")
    second.grant(NOTEBOOK, "mount:/data:/data:ro")
    assert Config(str(home)).granted() == {NOTEBOOK: ["context:rw", "mount:/data:/data:ro"]}


def test_limits_above_the_ceiling_take_a_grant(home: Path) -> None:
    (home / "config.toml").write_text('[ceiling]\nmemory = "1g"\n[defaults]\ntimeout = 60\n')
    grants = Grants(Config(str(home)), NOTEBOOK)
    assert grants.default_limits(Limits(pids=7)) == Limits(memory="1g", pids=7, timeout=60)
    assert grants.beyond(Limits(memory="1g")) == []
    assert grants.beyond(Limits(memory="2g")) == [("limit:memory=2 GiB", "--memory")]
    assert grants.beyond(Limits()) == [("limit:memory=unlimited", "--memory")]


@pytest.mark.parametrize(
    "text", ["[", "notebooks = 3", '[notebooks]\n"/a" = 1', '[notebooks."/a"]\ngranted = "all"', "\xff"]
)
def test_a_broken_config_is_said_with_its_path(home: Path, text: str) -> None:
    (home / "config.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"config\.toml"):
        Config(str(home)).granted()


def test_metadata_asks_and_does_not_grant() -> None:
    asked = Settings.from_metadata(
        {"cellstack": {"image": "team/x", "limits": {"memory": "1g", "cpus": 1.5, "timeout": None}, "context": "rw"}}
    )
    assert asked == Settings("team/x", {"memory": "1g", "cpus": "1.5", "timeout": "none"}, "rw")
    assert asked.grants() == [("context:rw", "--context rw")]


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"colour": "red"},
        {"limits": []},
        {"mounts": {}},
        {"image": 3},
        {"context": ["rw"]},
    ],
)
def test_odd_metadata_is_refused(entry: Any) -> None:
    with pytest.raises(UsageError, match="metadata"):
        Settings.from_metadata({"cellstack": entry})


def test_a_mount_of_what_is_not_there_is_said() -> None:
    with pytest.raises(NotFoundError, match="/nonexistent"):
        Settings(mounts=("/nonexistent/folder:/data",)).bind_mounts()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metadata": 3}', "\0"])
def test_metadata_of_a_file_that_is_no_notebook_asks_for_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    assert Settings.from_metadata(metadata_of(str(path))) == Settings()


def test_notebook_is_the_one_that_the_server_names(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text("{}")
    assert notebook_path({"JPY_SESSION_NAME": str(path)}) == str(path)
    assert notebook_path({"JPY_SESSION_NAME": str(tmp_path / "gone.ipynb")}) is None
    assert notebook_path({}) is None
