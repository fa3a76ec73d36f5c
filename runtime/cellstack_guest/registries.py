"""Where IPython's shell keeps what cells register with it, so that it can be reached from a module.

transformers: of a cell's lines, of its syntax tree. callbacks: of events, by name. formatters: by MIME type. magics: by
kind and name. attributes: names of those that a fresh shell has.
"""

from __future__ import annotations

import types
from typing import Any

from IPython.core.alias import Alias
from IPython.core.magic import MagicAlias

formatters: dict[str, Any] = {}
callbacks: dict[str, list[Any]] = {}
transformers: list[list[Any]] = []
magics: dict[str, dict[str, Any]] = {}
attributes: frozenset[str] = frozenset()


def connect(shell: Any) -> None:
    """Take the registries of the shell of this process."""
    global formatters, callbacks, transformers, magics, attributes  # noqa: PLW0603
    formatters, callbacks = shell.display_formatter.formatters, shell.events.callbacks
    manager = shell.input_transformer_manager
    transformers = [
        *(shell.input_transformers_post, shell.ast_transformers, manager.cleanup_transforms),
        *(manager.line_transforms, manager.token_transformers),
    ]
    magics = shell.magics_manager.magics
    attributes = frozenset(vars(shell))


def is_of_notebook(value: Any) -> bool:
    """Tell whether it was the notebook that registered this; what an extension registers, it does when it is loaded."""
    if type(value) in (Alias, MagicAlias):
        return True
    owner = value.__self__ if type(value) is types.MethodType else value
    return "__main__" in (getattr(owner, "__module__", None), type(owner).__module__)
