"""Nobody is answered who has not shown who they are, may do it, and means it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.auth import Authorizer
from tornado.httpclient import HTTPClientError

from cellstack_lab.routes import handlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.lab.conftest import Api

    Fetch = Callable[..., Awaitable[Any]]

ID = "0" * 12
READS = [
    "info",
    "sessions",
    f"sessions/{ID}/layers",
    f"layers/{'0' * 32}",
    f"layers/{'0' * 32}/diff",
    f"layers/{'0' * 32}/file",
    f"layers/{'0' * 32}/download",
    "images",
    f"images/{'0' * 64}",
    "containers",
    f"containers/{ID}",
    f"containers/{ID}/metrics",
]
WRITES = [
    ("DELETE", f"images/{'0' * 64}"),
    ("PATCH", f"containers/{ID}/limits"),
    *(("POST", f"containers/{ID}/{action}") for action in ("stop", "kill", "pause", "unpause", "terminal")),
]
EVERYTHING = [*(("GET", place) for place in READS), *WRITES, ("GET", "events")]


class Nobody(Authorizer):
    """Lets nobody do anything with Cellstack, and remembers what was asked."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012  shared with the test

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:  # noqa: ARG002
        """Say no."""
        self.asked.append((action, resource))
        return False


def test_every_route_is_in_this_file() -> None:
    assert len(handlers()) == len(READS) + 4 + 1, "and what is no route"


@pytest.mark.parametrize(("method", "place"), EVERYTHING)
async def test_without_a_token_nothing_is_answered(jp_fetch: Fetch, method: str, place: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(
            "cellstack/api",
            place,
            method=method,
            headers={"Authorization": "token wrong"},
            allow_nonstandard_methods=True,
        )
    assert caught.value.code == 403


@pytest.mark.parametrize("place", ["", "nosuch", "sessions/", f"containers/{ID}/explode", "events/more"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_what_is_no_route_is_said_in_json(api: Api, method: str, place: str) -> None:
    refused = await api.refused(place, method=method, allow_nonstandard_methods=True)
    assert refused == (404, "there is no such route")


@pytest.mark.parametrize(
    ("method", "place", "known"),
    [
        ("PUT", "sessions", "GET, OPTIONS"),
        ("GET", f"containers/{ID}/kill", "POST, OPTIONS"),
        ("POST", f"images/{'0' * 64}", "GET, DELETE, OPTIONS"),
        ("OPTIONS", "events", "GET"),
    ],
)
async def test_what_a_route_cannot_do_is_said_with_what_it_can(
    jp_fetch: Fetch, method: str, place: str, known: str
) -> None:
    answer = await jp_fetch("cellstack/api", place, method=method, allow_nonstandard_methods=True, raise_error=False)
    assert (answer.code, answer.headers["Allow"]) == (405, known)
    assert json.loads(answer.body) == {"message": "Method Not Allowed", "hint": None}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}])
async def test_who_may_not_read_events_is_told_so_in_json(jp_fetch: Fetch, headers: dict[str, str]) -> None:
    answer = await jp_fetch("cellstack/api/events", headers=headers, raise_error=False)
    assert json.loads(answer.body).keys() == {"message", "hint"}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.code == (403 if headers else 400)


@pytest.mark.parametrize(("method", "place"), WRITES)
async def test_a_browser_that_does_not_send_the_xsrf_token_changes_nothing(
    jp_fetch: Fetch, jp_serverapp: Any, method: str, place: str
) -> None:
    """A page elsewhere may have the browser send its cookies, which alone must not do."""
    cookies = await _login(jp_fetch, jp_serverapp.identity_provider.token)
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(
            "cellstack/api",
            place,
            method=method,
            headers={"Authorization": "", "Cookie": cookies},
            body=json.dumps({}) if method != "DELETE" else None,
        )
    assert caught.value.code == 403
    assert b"_xsrf" in caught.value.response.body  # type: ignore[union-attr]


async def _login(jp_fetch: Fetch, token: str) -> str:
    """Return the cookies of a browser that is logged in."""
    login = await jp_fetch(
        "login", headers={"Authorization": ""}, params={"token": token}, follow_redirects=False, raise_error=False
    )
    cookies = [cookie.partition(";")[0] for cookie in login.headers.get_list("Set-Cookie")]
    assert any(cookie.startswith("username-") for cookie in cookies)
    return "; ".join(cookies)


@pytest.fixture
def unauthorized(jp_server_config: dict[str, Any]) -> None:
    """Have a server that lets nobody do anything."""
    jp_server_config["ServerApp"]["authorizer_class"] = Nobody
    Nobody.asked.clear()


@pytest.mark.parametrize(("method", "place"), EVERYTHING)
async def test_an_authorizer_is_asked_about_each(unauthorized: None, jp_fetch: Fetch, method: str, place: str) -> None:
    del unauthorized
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("cellstack/api", place, method=method, allow_nonstandard_methods=True)
    assert caught.value.code == 403
    assert Nobody.asked == [("read" if method == "GET" else "write", "cellstack")]
