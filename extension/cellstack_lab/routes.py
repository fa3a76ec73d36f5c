"""The REST routes below `<base_url>cellstack/api/`."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from cellstack_lab import validation
from cellstack_lab.containers import ACTIONS
from cellstack_lab.errors import Errors
from cellstack_lab.events import Events
from cellstack_lab.service import AUTH_RESOURCE, SETTING, Service
from cellstack_runtime import cgroups, probe
from cellstack_runtime.errors import NotFoundError, UsageError
from cellstack_runtime.store.uses import remove_unused_image

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Run = Callable[[Callable[[], bytes]], Awaitable[bytes]]

API = "/cellstack/api"
CHUNK = 1 << 20  # bytes of a download that are in memory
MAX_BODY = 1 << 12  # bytes
TERMINALS = "terminals"  # what Jupyter asks an authorizer about terminals
ID = r"([^/]*)"  # anything, so that a wrong one gets an answer of ours


class Handler(Errors, APIHandler):
    """Answers in JSON."""

    auth_resource = AUTH_RESOURCE

    @property
    def service(self) -> Service:
        """What the handlers of this server share."""
        service: Service = self.settings[SETTING]
        return service

    def initialize(self) -> None:
        """Have somebody who waits for the answer."""
        self.gone = threading.Event()

    def on_connection_close(self) -> None:
        """End what nobody waits for any more."""
        super().on_connection_close()
        self.gone.set()

    async def answer(self, run: Run, function: Callable[..., Any], *args: Any) -> None:
        """Send as JSON what a function returns that `run` calls."""
        self.send(await run(lambda: _json(function(*args))))

    def send(self, data: bytes) -> None:
        """Send JSON."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(data)

    def compute_etag(self) -> None:
        """Have none: it takes a while for large answers, and browsers never ask whether one has changed."""

    def query(self, name: str) -> dict[str, str]:
        """Return the arguments behind the route's "?" that `name` has in the schemas, checked.

        Others are not for us: Jupyter's token, and the time of day that JupyterLab adds to be sent no cached answer.
        """
        known = validation.schema("requests.json")["$defs"][name]["properties"]
        # `get_query_argument` has a space for each control character, which names another file.
        sent = self.request.query_arguments
        given = {key: _decoded(key, sent[key][-1]) for key in known if key in sent}
        checked: dict[str, str] = validation.request(name, given)
        return checked

    def body(self, name: str) -> dict[str, Any]:
        """Return the JSON that was sent, which is what `name` says in the schemas."""
        if len(self.request.body) > MAX_BODY:
            raise web.HTTPError(413, f"more than {MAX_BODY} bytes")
        checked: dict[str, Any] = validation.parsed(name, self.request.body)
        return checked

    def done(self) -> None:
        """Say that what was asked for is done."""
        self.set_status(204)
        self.finish()


def _decoded(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{key}: what was sent is not UTF-8") from None


def _json(value: Any) -> bytes:
    """Return what is sent, quicker to write than with escapes; texts of records may have halves of characters."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def checked(kind: str, value: str) -> str:
    """Return an id of a "session", "layer", "image" or "container"; NotFoundError when it cannot be one."""
    if not validation.validator("requests.json", f"{kind}_id").is_valid(value):
        raise NotFoundError(f"no {kind} {value[:80]!r}")
    return value


class Info(Handler):
    """What this host and its store are."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send it."""
        reader = await self.service.reader()
        await self.answer(self.service.run, _info, reader.store.home, await self.service.disk_bytes())


def _info(home: str, disk_bytes: int) -> dict[str, Any]:
    support = cgroups.detect()
    usable = any(found.writable for found in support.controllers.values())
    return {
        "version": version("cellstack"),
        "home": home,
        "root": os.geteuid() == 0,
        "cgroup": f"v{support.version}" if usable else None,
        "userns": probe.user_namespaces(),
        "pressure": cgroups.pressure_of(support),
        "disk_bytes": disk_bytes,
    }


class Sessions(Handler):
    """All sessions."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        reader = await self.service.reader()
        await self.answer(self.service.run, reader.sessions)


class SessionLayers(Handler):
    """The layers of one session."""

    @web.authenticated
    @authorized
    async def get(self, session_id: str) -> None:
        """Send them."""
        reader = await self.service.reader()
        await self.answer(self.service.run, reader.layers, checked("session", session_id))


class Images(Handler):
    """All images."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        reader = await self.service.reader()
        await self.answer(self.service.run, reader.images)


class Image(Handler):
    """One image."""

    @web.authenticated
    @authorized
    async def get(self, image_id: str) -> None:
        """Send it with its history."""
        reader = await self.service.reader()
        await self.answer(self.service.run, reader.image_history, checked("image", image_id))

    @web.authenticated
    @authorized
    async def delete(self, image_id: str) -> None:
        """Remove it, if nothing uses it."""
        reader = await self.service.reader()
        name = checked("image", image_id)
        await self.service.wait_for(f"remove image {name[:12]}", remove_unused_image, reader.store, name)
        self.done()


class Layer(Handler):
    """One layer."""

    @web.authenticated
    @authorized
    async def get(self, layer_id: str) -> None:
        """Send it with its files and variables."""
        query = self.query("layer_query")
        files = await self.service.files(self.gone)
        await self.answer(self.service.compare, files.layer, checked("layer", layer_id), query.get("session"))


class LayerDiff(Handler):
    """What is different between two layers."""

    @web.authenticated
    @authorized
    async def get(self, layer_id: str) -> None:
        """Send it."""
        query = self.query("diff_query")
        files = await self.service.files(self.gone)
        name = checked("layer", layer_id)
        await self.answer(self.service.compare, files.diff, name, query["from"], query.get("session"))


class LayerFile(Handler):
    """A file of a layer as text."""

    @web.authenticated
    @authorized
    async def get(self, layer_id: str) -> None:
        """Send it as it is and as it was."""
        query = self.query("file_query")
        files = await self.service.files(self.gone)
        name = checked("layer", layer_id)
        await self.answer(self.service.compare, files.content, name, query["path"], query.get("from"))


class LayerDownload(Handler):
    """A file of a layer as bytes."""

    @web.authenticated
    @authorized
    async def get(self, layer_id: str) -> None:
        """Send it piece by piece, as fast as it is taken."""
        query = self.query("file_query")
        files = await self.service.files(self.gone)
        file, name = await self.service.compare(files.open, checked("layer", layer_id), query["path"])
        with file:
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header(
                "Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
            )
            self.set_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            with contextlib.suppress(StreamClosedError):  # whoever asked has broken off
                while data := await self.service.run(file.read, CHUNK):
                    self.write(data)
                    await self.flush()
                self.finish(set_content_type="application/octet-stream")


class Containers(Handler):
    """All containers."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Send them."""
        containers = await self.service.containers()
        await self.answer(self.service.run, containers.containers)


class Container(Handler):
    """One container."""

    @web.authenticated
    @authorized
    async def get(self, container_id: str) -> None:
        """Send it with its processes and namespaces."""
        containers = await self.service.containers()
        await self.answer(self.service.run, containers.details, checked("container", container_id))


class ContainerMetrics(Handler):
    """What a container uses."""

    @web.authenticated
    @authorized
    async def get(self, container_id: str) -> None:
        """Send it."""
        containers = await self.service.containers()
        await self.answer(self.service.run, containers.metrics, checked("container", container_id))


class ContainerAction(Handler):
    """Stop, kill, pause, unpause."""

    @web.authenticated
    @authorized
    async def post(self, container_id: str, action: str) -> None:
        """Do it; answer when it is done."""
        containers = await self.service.containers()
        name = checked("container", container_id)
        await self.service.wait_for(f"{action} container {name}", containers.act, name, action)
        self.done()


class ContainerTerminal(Handler):
    """A terminal of Jupyter's with a shell in a container."""

    @web.authenticated
    @authorized
    async def post(self, container_id: str) -> None:
        """Open one; send its name."""
        allowed = self.authorizer.is_authorized(self, self.current_user, "write", TERMINALS)
        if not await ensure_async(allowed):
            raise web.HTTPError(403)
        manager = self.settings.get("terminal_manager")
        if manager is None:
            raise web.HTTPError(501, "this Jupyter server has no terminals: jupyter_server_terminals is missing or off")
        containers = await self.service.containers()
        command = await self.service.run(containers.shell, checked("container", container_id))
        self.send(_json({"name": manager.create(shell_command=command)["name"]}))


class ContainerLimits(Handler):
    """The limits of a container."""

    @web.authenticated
    @authorized
    async def patch(self, container_id: str) -> None:
        """Change some of them."""
        changes = self.body("limits")
        containers = await self.service.containers()
        name = checked("container", container_id)
        what = f"change the limits of container {name}"
        self.send(await self.service.wait_for(what, lambda: _json(containers.change_limits(name, changes))))


class Unknown(Handler):
    """All else."""

    @web.authenticated
    async def get(self) -> None:
        """Say that there is nothing."""
        raise web.HTTPError(404, "there is no such route")

    head = post = put = patch = delete = get


def handlers() -> list[tuple[str, type[web.RequestHandler]]]:
    """Return the routes, without the base URL."""
    return [
        (f"{API}/info", Info),
        (f"{API}/sessions", Sessions),
        (f"{API}/sessions/{ID}/layers", SessionLayers),
        (f"{API}/layers/{ID}", Layer),
        (f"{API}/layers/{ID}/diff", LayerDiff),
        (f"{API}/layers/{ID}/file", LayerFile),
        (f"{API}/layers/{ID}/download", LayerDownload),
        (f"{API}/images", Images),
        (f"{API}/images/{ID}", Image),
        (f"{API}/containers", Containers),
        (f"{API}/containers/{ID}", Container),
        (f"{API}/containers/{ID}/metrics", ContainerMetrics),
        (f"{API}/containers/{ID}/({'|'.join(ACTIONS)})", ContainerAction),
        (f"{API}/containers/{ID}/terminal", ContainerTerminal),
        (f"{API}/containers/{ID}/limits", ContainerLimits),
        (f"{API}/events", Events),
        (f"{API}(?:/.*)?", Unknown),
    ]
