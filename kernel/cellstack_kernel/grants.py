"""What the person has granted. A notebook's content only asks; see "Who may grant" in ARCHITECTURE.md."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from cellstack_runtime.cli.output import printable
from cellstack_runtime.errors import GrantError
from cellstack_runtime.limits import Limits, format_size

if TYPE_CHECKING:
    from collections.abc import Collection

    from cellstack_kernel.runs import FrontEnd
    from cellstack_runtime.config import Config


class Grants:
    """What holds for one notebook file; `notebook` is None for a session without one, for which nothing is remembered.

    flags: what the command line grants, as "context:rw" or "mount:/data:/data:ro".
    """

    def __init__(self, config: Config, notebook: str | None, *, flags: Collection[str] = ()) -> None:
        self._config = config
        self.notebook = os.path.abspath(notebook) if notebook else None
        self._flags = frozenset(flags)

    @property
    def granted(self) -> list[str]:
        """What is granted now."""
        remembered = self._config.granted().get(self.notebook, []) if self.notebook else []
        return sorted({*self._flags, *remembered})

    def default_limits(self, otherwise: Limits) -> Limits:
        """Return `otherwise` with what the person's settings say of limits, and none above the ceiling."""
        limits = otherwise.updated(self._config.limits("defaults"))
        ceiling = Limits().updated(self._config.limits("ceiling"))
        return replace(limits, **{name: getattr(ceiling, name) for name in self._config.beyond(limits)})

    async def require(self, what: str, flag: str, front: FrontEnd) -> None:
        """Pass when `what` is granted; else ask the person. GrantError names `flag` when it is not.

        The question is the kernel's own: no code in a container can answer it.
        """
        if what in self.granted:
            return
        what, flag = printable(what), printable(flag)
        answer = await front.ask(
            f"This notebook asks for {what}. Grant it? [y]es once, [a]lways, [N]o: ", password=False
        )
        choice = (answer or "").strip().lower()[:1]
        if choice == "a" and self.notebook is not None:
            self._config.grant(self.notebook, what)
        elif choice not in ("a", "y"):
            how = f"Grant it with `cellstack execute {flag}`, or in {self._config.path} under [notebooks]"
            hint = how if answer is None else "It asks again when it is run again"
            raise GrantError(f"{what} is not granted to this notebook", hint=hint)
        self._flags |= {what}

    def beyond(self, wanted: Limits) -> list[tuple[str, str]]:
        """Return (what, flag) of each limit in `wanted` that is above the ceiling, which is none by default."""
        found = []
        for name in self._config.beyond(wanted):
            value = getattr(wanted, name)
            shown = "unlimited" if value is None else format_size(value) if name == "memory" else f"{value:g}"
            found.append((f"limit:{name}={shown}", f"--{name}"))
        return found
