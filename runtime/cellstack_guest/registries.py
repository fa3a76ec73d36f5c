"""Where IPython's shell keeps what cells register with it, so that it can be reached from a module.

transformers: of a cell's lines, of its syntax tree. callbacks: of events, by name. formatters: by MIME type.
"""

from __future__ import annotations

from typing import Any

formatters: dict[str, Any] = {}
callbacks: dict[str, list[Any]] = {}
transformers: list[list[Any]] = []


def connect(shell: Any) -> None:
    """Take the registries of the shell of this process."""
    global formatters, callbacks, transformers  # noqa: PLW0603
    formatters, callbacks = shell.display_formatter.formatters, shell.events.callbacks
    transformers = [shell.input_transformers_post, shell.ast_transformers]
