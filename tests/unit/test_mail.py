"""What a front end tells a widget between cells is not lost, and does not pile up."""

from __future__ import annotations

from typing import Any

from cellstack_kernel import mail
from cellstack_kernel.mail import Mail


def update(comm: str, **state: Any) -> dict[str, Any]:
    return {"comm_id": comm, "data": {"method": "update", "state": state}}


def add(post: Mail, content: dict[str, Any], *, runs: bool = False) -> int:
    return post.add("comm_msg", content, (), runs=runs).number


def given(post: Mail) -> list[dict[str, Any]]:
    return [letter.content for letter in post.give()]


def test_what_nobody_has_taken_is_given_to_each_cell_until_one_takes_it() -> None:
    post = Mail()
    slider, text = (add(post, update(comm, value=1)) for comm in ("slider", "text"))
    assert given(post) == [update("slider", value=1), update("text", value=1)]
    post.returned([text])
    assert given(post) == [update("slider", value=1)]
    post.returned([slider])
    assert given(post) == []


def test_what_was_given_to_a_cell_that_left_nothing_is_given_again_before_what_came_later() -> None:
    post = Mail()
    add(post, update("a", value=1))
    post.give()
    add(post, update("a", other=2), runs=True)
    post.returned()
    add(post, update("a", third=3))
    assert given(post) == [update("a", value=1), update("a", other=2), update("a", third=3)]


def test_only_what_is_true_still_is_kept() -> None:
    post = Mail()
    for value in range(100):
        add(post, update("slider", value=value))
    add(post, {"comm_id": "button", "data": {"method": "custom", "content": {"event": "click"}}})
    add(post, update("slider", max=7))
    assert given(post) == [update("slider", value=99), update("slider", max=7)]


def test_the_oldest_goes_when_it_is_too_much(monkeypatch: Any) -> None:
    monkeypatch.setattr(mail, "MAX_BYTES", 200)
    post = Mail()
    for name in "abcd":
        add(post, update(name, value="x" * 20))
    assert given(post) == [update("c", value="x" * 20), update("d", value="x" * 20)]
