"""What cells register with the process: functions and objects that the interpreter or a library calls.

Unlike settings they may be the notebook's own and share objects with its variables. Each is a component of the saved
state like a variable, under "hook:<module>:<name>", and is registered again in the next process.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest.settings import is_imported

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

HOOK = "hook:"
_modules = 0  # how many there were before the cell


class Hook(NamedTuple):
    """One place to register at. module: where it is, which is imported then.

    read: called with the words of the cell's code and with what was registered again before the cell, None for
    nothing; returns what is registered beyond what every process has, None for nothing. write: registers it. what: what
    it is called when it cannot be carried, if that is no function of the module.
    """

    module: str
    name: str
    read: Callable[[Container[str], Any], Any]
    write: Callable[[Any], None]
    what: str = ""

    @property
    def key(self) -> str:
        """Under which it is saved."""
        return f"{HOOK}{self.module}:{self.name}"


def held(what: str, module: str, read: Callable[[], Any], write: Callable[[Any], None]) -> Hook:
    """Return the hook for what a library keeps out of sight: read returns it, None while there is nothing."""
    return Hook(module, what, lambda _words, _before: read(), write, what)


def start() -> None:
    """Take down what there is before any cell's code has run in this process."""
    global _modules  # noqa: PLW0603 - of the process
    _modules = len(sys.modules)


def new_modules() -> Iterator[str]:
    """Yield the names under which modules were put since, the newest first."""
    # The newest are last; each of the others, a thousand, would cost a copy of its page.
    return itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - _modules))


def is_hook(key: str) -> bool:
    """Tell whether a key of a component is of this kind."""
    return key.startswith(HOOK)


def found(hooks: dict[str, Hook], words: Container[str], before: dict[str, Any]) -> dict[str, Any]:
    """Return what is registered, by key. before: what was registered again before the cell, by key."""
    values = {key: hook.read(words, before.get(key)) for key, hook in hooks.items() if is_imported(hook.module)}
    return {key: value for key, value in values.items() if value is not None}


def is_of_notebook(value: Any) -> bool:
    """Tell whether a function, a class, an object or a method is the notebook's."""
    owner = getattr(value, "__self__", value)
    return "__main__" in (getattr(owner, "__module__", None), type(owner).__module__)
