"""The REST routes below `<base_url>cellstack/api/`."""

from __future__ import annotations

import json
import os
import re
from http.client import responses
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cellstack_lab.service import SETTING, Service
from cellstack_runtime import cgroups, probe
from cellstack_runtime.errors import CellstackError, GrantError, NotFoundError, StoreError, UsageError
from cellstack_runtime.store.files import disk_bytes

if TYPE_CHECKING:
    from types import TracebackType

API = "/cellstack/api"
SESSION, LAYER, IMAGE, CONTAINER = (rf"[0-9a-f]{{{digits}}}" for digits in (12, 32, 64, 12))
ID = r"([^/]*)"  # anything, so that a wrong one gets an answer of ours
AUTH_RESOURCE = "cellstack"
STATUS: dict[type[CellstackError], int] = {NotFoundError: 404, UsageError: 400, GrantError: 403, StoreError: 500}


class Handler(APIHandler):
    """Answers in JSON, also what went wrong: {"message", "hint"}."""

    auth_resource = AUTH_RESOURCE

    @property
    def service(self) -> Service:
        """What the handlers of this server share."""
        service: Service = self.settings[SETTING]
        return service

    def answer(self, value: Any) -> None:
        """Send JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(json.dumps(value))

    def done(self) -> None:
        """Say that what was asked for is done."""
        self.set_status(204)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the sentence of an error, and what can be done about it."""
        error: tuple[type[BaseException], BaseException, TracebackType] | None = kwargs.get("exc_info")
        message, hint = responses.get(status_code, "error"), None
        if error is not None and isinstance(error[1], CellstackError):
            status_code = next((code for kind, code in STATUS.items() if isinstance(error[1], kind)), 409)
            self.set_status(status_code)
            message, hint = error[1].message, error[1].hint
        elif error is not None and isinstance(error[1], web.HTTPError):
            message = error[1].log_message or message
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps({"message": message, "hint": hint}))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log mistakes, and not what a person is told."""
        if not isinstance(value, CellstackError):
            super().log_exception(typ, value, tb)


def checked(pattern: str, value: str, what: str) -> str:
    """Return an id; NotFoundError when it cannot be one."""
    if not re.fullmatch(pattern, value):
        raise NotFoundError(f"no {what} {value[:80]!r}")
    return value


class Info(Handler):
    """What this host and its store are."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send it."""
        reader = await self.service.reader()
        self.answer(await self.service.run(_info, reader.store.home))


def _info(home: str) -> dict[str, Any]:
    support = cgroups.detect()
    usable = any(found.writable for found in support.controllers.values())
    return {
        "version": version("cellstack"),
        "home": home,
        "disk_bytes": disk_bytes([home]),
        "root": os.geteuid() == 0,
        "cgroup": f"v{support.version}" if usable else None,
        "userns": probe.user_namespaces(),
    }


class Sessions(Handler):
    """All sessions."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        reader = await self.service.reader()
        self.answer(await self.service.run(reader.sessions))


class SessionLayers(Handler):
    """The layers of one session."""

    @web.authenticated
    @authorized
    async def get(self, session_id: str) -> None:
        """Send them."""
        reader = await self.service.reader()
        self.answer(await self.service.run(reader.layers, checked(SESSION, session_id, "session")))


class Images(Handler):
    """All images."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        reader = await self.service.reader()
        self.answer(await self.service.run(reader.images))


class Image(Handler):
    """One image."""

    @web.authenticated
    @authorized
    async def get(self, image_id: str) -> None:
        """Send it with its history."""
        reader = await self.service.reader()
        self.answer(await self.service.run(reader.image_history, checked(IMAGE, image_id, "image")))


class Containers(Handler):
    """All containers."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        containers = await self.service.containers()
        self.answer(await self.service.run(containers.containers))


def handlers() -> list[tuple[str, type[web.RequestHandler]]]:
    """Return the routes, without the base URL."""
    return [
        (f"{API}/info", Info),
        (f"{API}/sessions", Sessions),
        (f"{API}/sessions/{ID}/layers", SessionLayers),
        (f"{API}/images", Images),
        (f"{API}/images/{ID}", Image),
        (f"{API}/containers", Containers),
    ]
