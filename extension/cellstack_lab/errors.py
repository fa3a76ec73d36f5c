"""What is answered when something goes wrong: JSON, {"message", "hint"}, on every route."""

from __future__ import annotations

import json
from http.client import responses
from typing import TYPE_CHECKING, Any

from tornado import web

from cellstack_lab.service import GoneError
from cellstack_runtime.errors import CellstackError, GrantError, NotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from types import TracebackType

STATUS: dict[type[CellstackError], int] = {
    NotFoundError: 404,
    UsageError: 400,
    GrantError: 403,
    GoneError: 503,
    StoreError: 500,
}


class Errors(web.RequestHandler):
    """Says what went wrong, and logs mistakes only."""

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
        if status_code == 405:
            missing = web.RequestHandler.get  # what all methods are that a route does not have
            known = [name for name in self.SUPPORTED_METHODS if getattr(type(self), name.lower()) is not missing]
            self.set_header("Allow", ", ".join(known))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": message, "hint": hint}))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log mistakes, and not what a person is told."""
        if not isinstance(value, CellstackError):
            super().log_exception(typ, value, tb)
