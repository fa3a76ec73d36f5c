"""One notebook as the kernel and `cellstack execute` see it: host magics, cells, and what the person has granted."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellstack_kernel import magics
from cellstack_kernel.executor import Executor, FrontEnd, Outcome, Request
from cellstack_kernel.grants import Grants
from cellstack_runtime.context import resolve_context
from cellstack_runtime.errors import CellstackError, HostError
from cellstack_runtime.workspace import BindMount, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellstack_runtime.limits import Limits
    from cellstack_runtime.store import Store


class Notebook:
    """A notebook's session. `last` is the record of the last cell run, None before the first."""

    def __init__(self, workspace: Workspace, grants: Grants, path: str | None) -> None:
        self.workspace = workspace
        self.grants = grants
        self.path = path
        self.executor = Executor(workspace)
        self.last: dict[str, Any] | None = None

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        path: str | None,
        image: str = "default",
        limits: Limits,
        context_mode: str = "ro",
        folder: str | None = None,
        env: Mapping[str, str] | None = None,
        mounts: Sequence[BindMount] = (),
        grants: Grants | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Notebook:
        """Open the session of the notebook file `path`; its folder (else `folder`) is the context.

        HostError when this host cannot run containers, NotFoundError for the image or the folder.
        """
        where = os.path.dirname(os.path.abspath(path)) if path else folder
        context = resolve_context(where, context_mode, store=store.home)
        if context.note:
            progress(context.note)
        workspace = await Workspace.open(
            store,
            image=image,
            limits=limits,
            context=context,
            env=env,
            mounts=mounts,
            notebook=os.path.abspath(path) if path else None,
            progress=progress,
        )
        return cls(workspace, grants or Grants(store.home, path), path)

    async def execute(self, request: Request, front: FrontEnd) -> Outcome:
        """Answer the host magics of a cell, then run what is left of it in a container."""
        try:
            parsed = magics.parse(request.code)
            for call in parsed.calls:
                await magics.call(self, call, front)
            if parsed.calls and not parsed.code.strip():
                return Outcome({"status": "ok", "execution_count": request.number, **_EMPTY}, {})
            wanted = self._request(request, parsed)
            if wanted.limits is not None:
                await self.check_limits(wanted.limits, front)
            outcome = await self.executor.run(wanted, front)
        except CellstackError as error:
            return failed(error, request, front)
        self.last = outcome.record
        return outcome

    def _request(self, request: Request, parsed: magics.Parsed) -> Request:
        options = dict(parsed.options)
        commit = options.pop("commit", "yes") != "no"
        limits = self.workspace.limits.updated(options) if options else None
        return replace(request, code=parsed.code, kind=parsed.kind, limits=limits, commit=commit)

    async def check_limits(self, wanted: Limits, front: FrontEnd) -> None:
        """Pass when the notebook may have these limits; GrantError or HostError says why not."""
        if wanted.network != "none":
            raise HostError(
                f"network={wanted.network} is not in this version", hint="Cells run with network=none, loopback only"
            )
        await self.grants.require_limits(wanted, front)

    async def close(self) -> None:
        """End what runs; layers and session stay."""
        await self.workspace.close()


_EMPTY: dict[str, Any] = {"payload": [], "user_expressions": {}}


def failed(error: CellstackError, request: Request, front: FrontEnd) -> Outcome:
    """Show an error of ours the way a cell's error is shown, in one sentence and without a traceback."""
    content = {
        "ename": "CellstackError",
        "evalue": str(error),
        "traceback": [f"\x1b[31mCellstackError\x1b[39m: {error}"],
    }
    if not request.silent:
        front.publish("error", content)
    return Outcome({"status": "error", "execution_count": request.number, **content}, {})
