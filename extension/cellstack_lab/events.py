"""The websocket `<base_url>cellstack/api/events`."""

from __future__ import annotations

import json
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from cellstack_lab import validation
from cellstack_lab.clients import Client, Subscription
from cellstack_lab.errors import Errors
from cellstack_lab.service import AUTH_RESOURCE, SETTING, Service
from cellstack_runtime.errors import CellstackError, UsageError

MAX_MESSAGE = 1 << 16  # bytes
POLICY_VIOLATION, TOO_BIG, FAILED = 1008, 1009, 1011  # close codes of RFC 6455
MAX_REASON = 100  # characters; the frame has room for 123 bytes
SUBSCRIBED = json.dumps({"type": "subscribed"})


class Events(Errors, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """Sends what happens; takes subscriptions."""

    auth_resource = AUTH_RESOURCE

    @property
    def service(self) -> Service:
        """What the handlers of this server share."""
        service: Service = self.settings[SETTING]
        return service

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Become a websocket, for those who may read."""
        allowed = self.authorizer.is_authorized(self, self.current_user, "read", self.auth_resource)
        if not await ensure_async(allowed):
            raise web.HTTPError(403)
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise web.HTTPError(400, "events are told on a websocket")
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Have the client begin without a subscription."""
        super().open(*args, **kwargs)
        self.client = Client(self._write, self._fail)

    async def _write(self, message: str) -> None:
        """Return when the message has left this process."""
        try:
            await self.write_message(message)
        except WebSocketClosedError:  # it goes, and `on_close` is called
            self.client.close()

    def _fail(self, why: str) -> None:
        """Close, after which the browser connects anew; `why` is for who reads the browser's log."""
        self.close(FAILED, _reason(why))

    def get_compression_options(self) -> dict[str, Any]:
        """Have messages compressed when the browser can: layers are mostly text."""
        return {}

    async def on_message(self, message: str | bytes) -> None:
        """Replace what is subscribed."""
        if len(message) > MAX_MESSAGE:
            self.close(TOO_BIG, f"a message has at most {MAX_MESSAGE} bytes")
            return
        try:
            wanted = Subscription.parse(validation.parsed("subscribe", message))
        except UsageError as error:
            self.close(POLICY_VIOLATION, _reason(error.message))
            return
        try:
            await self.service.hub.subscribe(self.client, wanted)
        except CellstackError as error:
            self._fail(error.message)
            return
        self.client.put(SUBSCRIBED)

    def on_close(self) -> None:
        """Let the client go."""
        super().on_close()
        if hasattr(self, "client"):
            self.client.close()
            self.service.hub.leaves(self.client)


def _reason(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:MAX_REASON]
