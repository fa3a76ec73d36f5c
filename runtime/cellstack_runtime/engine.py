"""The engine as a library: `Engine().run(Spec(image="default", args=["true"]))`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellstack_runtime import hardening
from cellstack_runtime.containers import ExitReport, exit_report
from cellstack_runtime.limits import Limits
from cellstack_runtime.store import Store
from cellstack_runtime.workspace import BindMount, Workspace
from cellstack_runtime.zygotes import DEFAULT_ENV

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `args` empty means the image's Cmd. Capabilities are docker's default set, changed by name."""

    image: str = "default"
    args: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    mounts: Sequence[BindMount] = ()
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended. Times in seconds, memory in bytes; output only where it was captured."""

    id: str
    exit: ExitReport
    wall_seconds: float
    cpu_seconds: float
    memory_peak_bytes: int
    namespaces: Mapping[str, int]
    enforced_by: Mapping[str, str]
    stdout: bytes | None = None
    stderr: bytes | None = None

    @property
    def exit_code(self) -> int:
        """The code docker would leave with: the program's, or 128 + the signal that ended it."""
        if self.exit.code is not None:
            return self.exit.code
        return 128 + (self.exit.signal_number or signal.SIGKILL)


class Engine:
    """Containers, images and layers of one store (`home`, else $CELLSTACK_HOME, else the user's data folder)."""

    def __init__(self, home: str | None = None) -> None:
        self.store = Store.open(home)

    def run(
        self,
        spec: Spec,
        *,
        capture_output: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> RunReport:
        """Run a program in a new container and return how it ended.

        Its standard streams are this process', unless `capture_output`. HostError when this host cannot make the
        container; NotFoundError for an image that is not there.
        """
        return asyncio.run(self._run(spec, capture_output=capture_output, progress=progress))

    async def _run(self, spec: Spec, *, capture_output: bool, progress: Callable[[str], None]) -> RunReport:
        workspace = await Workspace.open(
            self.store, image=spec.image, limits=spec.limits, mounts=spec.mounts, progress=progress, cells=False
        )
        try:
            with contextlib.ExitStack() as files:
                null = files.enter_context(Path(os.devnull).open("rb"))  # noqa: ASYNC230  does not block
                streams = [0, 1, 2]
                outputs: list[Any] = []
                if capture_output:
                    outputs = [files.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
                    streams = [null.fileno(), *(file.fileno() for file in outputs)]
                report, answer = await workspace.run(self._program(spec, workspace), streams)
                captured = []
                for file in outputs:
                    file.seek(0)
                    captured.append(file.read())
        finally:
            await workspace.close()
        return RunReport(
            id=answer["id"],
            exit=exit_report(report),
            wall_seconds=report["wall"],
            cpu_seconds=report["cpu"] or 0.0,
            memory_peak_bytes=report["peak"] or 0,
            namespaces=answer["namespaces"],
            enforced_by=answer["enforced_by"],
            stdout=captured[0] if captured else None,
            stderr=captured[1] if captured else None,
        )

    def _program(self, spec: Spec, workspace: Workspace) -> dict[str, Any]:
        """Return what init executes: arguments, environment, folder, capabilities, seccomp program."""
        config = workspace.image.config
        capabilities = hardening.parse_capabilities(spec.cap_add, spec.cap_drop)
        image_env = dict(entry.split("=", 1) for entry in config.get("Env") or ())
        return {
            "args": list(spec.args) or list(config.get("Cmd") or ["/bin/sh"]),
            "env": {"PATH": DEFAULT_ENV["PATH"], "HOME": "/root", **image_env, **spec.env},
            "cwd": spec.workdir or config.get("WorkingDir") or "/",
            "capabilities": sorted(capabilities),
            "seccomp": base64.b64encode(hardening.seccomp_program(f"{self.store.home}/cache", capabilities)).decode(),
        }
