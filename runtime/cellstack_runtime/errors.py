"""Errors that reach a user: what happened, with numbers, and what to do now."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_HOST = 3


class CellstackError(Exception):
    """An error with one sentence for the user and, where there is one, what to do about it.

    `str(error)` is the message followed by the hint. The command line prints it and leaves with
    `exit_code`; no traceback is shown.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(CellstackError):
    """What was asked for is not a thing that can be asked for (`memory=12x`)."""

    exit_code = EXIT_USAGE


class HostError(CellstackError):
    """This host does not allow what is needed; the hint names the `cellstack doctor` line."""

    exit_code = EXIT_HOST


class StoreError(CellstackError):
    """The store cannot be read or written, or something in it is damaged."""


class NotFoundError(CellstackError):
    """No such image, layer, container or file."""


class GrantError(CellstackError):
    """Asked for by a notebook, granted by nobody."""
