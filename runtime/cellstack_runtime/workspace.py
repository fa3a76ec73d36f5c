"""One notebook's time with the engine: a broker, a zygote, a head, and a container that waits for the next cell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cellstack_runtime import hardening, idmap, syscalls
from cellstack_runtime.broker.channel import close_all
from cellstack_runtime.client import BrokerClient, Conversation, ZygoteGoneError
from cellstack_runtime.clock import Clock
from cellstack_runtime.containers import CellContainer, Finished
from cellstack_runtime.context import Context, hidden_mask, mask_is_current
from cellstack_runtime.errors import CellstackError, HostError, NotFoundError, StoreError
from cellstack_runtime.image import ensure_default, guest_directory
from cellstack_runtime.limits import Limits
from cellstack_runtime.live import Container, make_run
from cellstack_runtime.store import PARTS
from cellstack_runtime.sweep import sweep
from cellstack_runtime.zygotes import Zygotes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellstack_runtime.store import Image, Part, Session, Store

IMAGE_CHECK = "CELLSTACK_IMAGE_CHECK"  # "no": take the default image as it is; for slow file systems
IN_A_ROW = 0.05  # seconds from one cell to the next
MAX_COMMAND = 1000  # characters of a cell's first line, for `cellstack ps`
SAVE_SECONDS = 0.05  # how long the session may be behind what is committed
Lowers = tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class BindMount:
    """A host path shown in the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a waiting container was made for; when it differs from what is wanted, it is thrown away.

    root, work: the directories that are stacked, so that a layer in which nothing changed makes no difference.
    head: what the zygote imports from, if it has to be started.
    """

    image: str
    root: Lowers
    work: Lowers
    head: str | None = field(compare=False)
    limits: Limits
    context: Context
    mounts: tuple[BindMount, ...]
    zygote: str | None


class Workspace:
    """One notebook's (or one command's) session with the engine; see `open`."""

    def __init__(
        self,
        store: Store,
        image: Image,
        session: Session,
        broker: BrokerClient,
        *,
        limits: Limits,
        context: Context,
        env: Mapping[str, str],
        mounts: Sequence[BindMount],
        cells: bool,
        rest: float | None,
    ) -> None:
        self.store = store
        self.image = image
        self.session = session
        self.limits = limits
        self.context = context
        self._broker = broker
        self.env = dict(env)
        self.mounts = tuple(mounts)
        self._cells = cells
        self._rest_after = rest
        self._rest_timer: asyncio.TimerHandle | None = None
        self.zygotes = Zygotes(self, broker)
        self._waiting: tuple[_Plan, asyncio.Task[CellContainer]] | None = None
        self._chores: set[asyncio.Task[Any]] = set()
        self._committing: asyncio.Task[None] | None = None
        self._containers: dict[str, CellContainer] = {}
        self._program_clock: Clock | None = None  # of `run`, which has one container
        broker.on_event = self._on_event
        self.on_change: Callable[[], None] = lambda: None  # head, settings, or what runs: see what it is now
        self.on_rest: Callable[[], None] = lambda: (
            None
        )  # nobody has asked for anything for long: end what was made aside
        self._mask: tuple[str, str | None, Any] | None = None
        self.left_out: list[str] = []  # directories of the context that cells do not see, since there are too many
        self._unsaved = self._saving = False
        self._unchanged_at = 0.0  # when the last cell ended, if it changed no file
        self._stacks: dict[tuple[str | None, Part], Lowers] = {}

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        image: str = "default",
        limits: Limits | None = None,
        context: Context | None = None,
        env: Mapping[str, str] | None = None,
        mounts: Sequence[BindMount] = (),
        notebook: str | None = None,
        session: Session | None = None,
        progress: Callable[[str], None] = lambda _: None,
        cells: bool = True,
        rest: float | None = None,
    ) -> Workspace:
        """Start a broker and prepare the first container.

        session: one that this process owns, to go on with; without it there is a new one. `cells` is False for
        `cellstack run`, whose containers need no zygote. `env` is what the person passes on, besides a short list of
        the host's variables. rest: seconds without a request after which what waits for the next cell is given back, or
        None. HostError when this host cannot, NotFoundError for the image.
        """
        await asyncio.to_thread(sweep, store)
        guest = await asyncio.to_thread(guest_directory, store)
        session = session or store.create_session(notebook, "")
        name = secrets.token_hex(4)
        run_dir = f"{store.home}/runs/{name}"
        make_run(store, run_dir)
        with contextlib.ExitStack() as undo:
            undo.callback(store.drop_session, session, session.ended)
            undo.callback(shutil.rmtree, run_dir, ignore_errors=True)
            finding = asyncio.create_task(asyncio.to_thread(_find_image, store, image, progress))  # meanwhile
            undo.callback(finding.cancel)
            broker = await BrokerClient.start(
                {
                    "home": store.home,
                    "run_dir": run_dir,
                    "state": session.state_root,
                    "session": session.id,
                    "guest": guest,
                    "scope": f"cellstack-{name}",
                    "base_id": idmap.base_id(),
                },
                keep=session.lock_fds,  # the session is free when what is answered is committed, whoever dies before
            )
            try:
                chosen = await finding
            except BaseException:
                await broker.close()
                raise
            session.image = chosen.id
            session.ended = None
            await asyncio.to_thread(session.save)
            undo.pop_all()
        workspace = cls(
            store,
            chosen,
            session,
            broker,
            limits=limits or Limits(),
            context=context or Context("none"),
            env=env or {},
            mounts=mounts,
            cells=cells,
            rest=rest,
        )
        if cells:
            workspace.prepare()
        return workspace

    @property
    def head(self) -> str | None:
        """The layer the next cell starts from, once the last one has `settled`; None is the image itself."""
        return self.session.head

    @property
    def run_dir(self) -> str:
        """The directory of its broker, where the records of its containers are."""
        return self._broker.run_dir

    async def configure(
        self,
        *,
        limits: Limits | None = None,
        image: str | None = None,
        context: Context | None = None,
        mounts: Sequence[BindMount] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Change what the following cells run with. Another image starts from that image, without variables."""
        if limits is not None:
            self.limits = limits
        if image is not None:
            self._use_image(await self.find_image(image))
            self.move_head(None)
        if context is not None:
            self.context = context
        if mounts is not None:
            self.mounts = tuple(mounts)
        if env is not None:
            self.env = dict(env)
        self.prepare()
        self.on_change()

    async def find_image(self, ref: str) -> Image:
        """Return an image of the store; NotFoundError when there is none of this name or id."""
        return await asyncio.to_thread(_find_image, self.store, ref, lambda _: None)

    def _use_image(self, image: Image) -> None:
        self.image = image
        self.session.image = image.id
        self._stacks.clear()
        self.zygotes.image_changed()

    def move_head(self, layer: str | None) -> None:
        """Make `layer` the head (checkout, undo), on its own image. The last cell must have `settled`.

        NotFoundError when its image or its variables are not in this store or session, StoreError when it cannot be
        written down; head is where it was then.
        """
        image, head = self.image, self.session.head
        if layer is not None:
            found = self.store.layer(layer)
            if found.state is not None and not os.path.isdir(self.session.state_dir(found.state)):
                raise NotFoundError(
                    f"layer {layer[:12]} belongs to another notebook, and its variables are there",
                    hint="%tag it there, and take it as an image here: %image NAME",
                )
            if found.image is not None and found.image != self.image.id:
                self._use_image(self.store.image(found.image))
        self.session.previous_heads.append(head)
        self.session.head = layer
        try:
            self.session.save()
        except StoreError:
            self.session.head = head
            self.session.previous_heads.pop()
            if self.image is not image:
                self._use_image(image)
            raise
        self.zygotes.head_moved()
        self.prepare()
        self.on_change()

    # -- containers --------------------------------------------------------------------------------------------

    async def container(self, *, limits: Limits | None = None) -> CellContainer:
        """Return a container that has seen no code: the one that waits, or a new one."""
        await self.settled()
        await self.zygotes.caught_up()
        plan = self._plan(limits or self.limits)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            prepared, task = waiting
            current = prepared == plan and (self._mask is None or mask_is_current(self._mask[2]))
            if current:
                return await self._unless_cancelled(task)
            self._throw_away(task)
        return await self._unless_cancelled(asyncio.create_task(self._make(plan)))

    async def _unless_cancelled(self, task: asyncio.Task[CellContainer]) -> CellContainer:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._throw_away(task)
            raise

    def _plan(self, limits: Limits) -> _Plan:
        head = self.head
        return _Plan(
            image=self.image.id,
            root=self.lowers(head, "root"),
            work=self.lowers(head, "work"),
            head=head,
            limits=limits,
            context=self.context,
            mounts=self.mounts,
            zygote=self.zygotes.key() if self._cells else None,
        )

    def prepare(self) -> None:
        """Have a container made ahead for what the next cell will most likely be."""
        if not self._cells:
            return
        self._rest_later()
        plan = self._plan(self.limits)
        if self._waiting is not None:
            if self._waiting[0] == plan:
                return
            self._throw_away(self._waiting[1])
        task = asyncio.create_task(self._make(plan))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told when it is asked for
        self._waiting = (plan, task)

    def _rest_later(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        if self._rest_after is not None:
            self._rest_timer = asyncio.get_running_loop().call_later(self._rest_after, self._rest)

    def _rest(self) -> None:
        """Give back what waits for the next cell, if nothing runs: the container, and the zygote with all it has."""
        if self._waiting is None:
            return  # a cell runs, and prepares for the next one at its end
        self.on_rest()
        task = self._waiting[1]
        if not task.done() or len(self._containers) > 1 or self._chores:
            self._rest_later()
            return
        self._waiting = None
        self._throw_away(task)
        self.zygotes.rest()
        syscalls.trim_heap()

    def attend(self) -> None:
        """Note that somebody looks at the notebook, though no cell runs: it does not rest yet."""
        if self._waiting is not None:
            self._rest_later()

    def wake(self) -> None:
        """Make ready for a cell that may come, if what waited for it was given back."""
        if self._waiting is None and not self._containers:
            self.prepare()

    async def next_container(self) -> Container | None:
        """Return the container that waits for the next cell, as others see it; None when there is none.

        It may be given out or thrown away at any moment.
        """
        self.wake()
        tried = None
        with contextlib.suppress(CellstackError):  # told when it is asked for
            while self._waiting is not None and self._waiting is not tried:
                tried = self._waiting
                container = await asyncio.shield(tried[1])
                answer, _ = await self._broker.ask("describe", id=container.id)
                if answer["container"] is not None:
                    return Container(run=self.run_dir, **answer["container"])
        return None

    def _throw_away(self, task: asyncio.Task[CellContainer]) -> None:
        async def discard() -> None:
            with contextlib.suppress(CellstackError):
                container = await task
                await self._told(container, None)
                container.close()

        self.chore(discard())

    def chore(self, work: Any) -> None:
        """Have something done besides, before the workspace closes at the latest."""
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _make(self, plan: _Plan, *, again: bool = True) -> CellContainer:
        async with self.zygotes.running(plan.zygote, plan.head):
            request = self._request(plan)
            try:
                answer, fds = await self._broker.ask("container", **request)
            except ZygoteGoneError:  # it may have been killed: its cgroup has a limit, too
                if plan.zygote is None or not again:
                    raise
                self.zygotes.lose(plan.zygote)
                return await self._make(plan, again=False)
        container = CellContainer(self, secrets.token_hex(16), plan.limits, answer, fds)
        self._containers[container.id] = container
        return container

    def _on_event(self, event: dict[str, Any]) -> None:
        """Pass on what another process of the person has done to a container."""
        container = self._containers.get(event["id"])
        clock = container.clock if container is not None else self._program_clock
        if event["event"] == "limits" and container is not None:
            container.limits = replace(container.limits, **event["limits"])
            self.on_change()
        elif event["event"] == "paused" and clock is not None:
            clock.pause()
        elif event["event"] == "resumed" and clock is not None:
            clock.resume()

    def forget(self, container: CellContainer) -> None:
        """Note that a container is over."""
        self._containers.pop(container.id, None)

    def unpause(self, container: CellContainer) -> None:
        """Let a container go on that may be paused: it cannot be interrupted or killed otherwise."""
        with contextlib.suppress(CellstackError):  # the broker is gone, and with it the container
            self._broker.tell("unpause", id=container.id)

    def _request(self, plan: _Plan) -> dict[str, Any]:
        limits = plan.limits
        return {
            "image": plan.image,
            "zygote": plan.zygote,
            "limits": {"memory": limits.memory, "cpus": limits.cpus, "pids": limits.pids},
            "other_limits": {"timeout": limits.timeout, "network": limits.network},
            "root": plan.root,
            "work": plan.work,
            "context": self._context(plan.context),
            "mounts": [[mount.source, mount.target, mount.read_only] for mount in plan.mounts],
            "masked": list(hardening.MASKED_PATHS),
            "readonly": list(hardening.READONLY_PATHS),
        }

    def lowers(self, head: str | None, part: Part) -> Lowers:
        """Return (path, whether its ids are the host's) top first; layers made by cells are stored with shifted ids.

        A layer in which nothing changed has the stack of the one below it.
        """
        step = head
        while step is not None and (step, part) not in self._stacks and not (layer := self.store.layer(step)).has(part):
            step = layer.parent
        if (step, part) not in self._stacks:
            self._stacks[step, part] = self._stack(step, part)
        self._stacks[head, part] = self._stacks[step, part]
        return self._stacks[head, part]

    def _stack(self, head: str | None, part: Part) -> Lowers:
        own = {self.store.layer_path(name, part) for name in self.image.layers if self.store.layer(name).image is None}
        return tuple((path, path in own) for path in self.store.lowers(self.image, head, part))

    def _context(self, context: Context) -> dict[str, Any]:
        if context.mode == "none" or context.folder is None:
            return {"mode": "none", "folder": None, "mask": None}
        if not os.path.isdir(context.folder):
            raise CellstackError(
                f"the notebook's folder {context.folder} is gone",
                hint="Put it back, or run without it: %context none (--context none)",
            )
        mask = None
        if context.mode == "ro":
            mask = self._current_mask(context.folder)
        return {"mode": context.mode, "folder": context.folder, "mask": mask}

    def _current_mask(self, folder: str) -> str | None:
        """Return a directory of whiteouts over the hidden files of `folder`, made anew when the folder has changed."""
        if self._mask is not None and self._mask[0] == folder and mask_is_current(self._mask[2]):
            return self._mask[1]
        path = f"{self._broker.run_dir}/mask-{secrets.token_hex(3)}"
        os.mkdir(path, 0o755)
        fingerprint, self.left_out = hidden_mask(folder, path)
        mask = path if os.listdir(path) else None
        self._mask = (folder, mask, fingerprint)
        return mask

    def began(self, container: CellContainer, code: str) -> None:
        """Let `cellstack ps` show what `container` now runs."""
        command = ["cell", *(line[:MAX_COMMAND] for line in code.strip().splitlines()[:1])]
        self._broker.tell("began", id=container.id, command=command, parent=self.head)
        if time.monotonic() - self._unchanged_at < IN_A_ROW:
            self.prepare()  # This cell will most likely not change a file either; if it does, another one is made.

    async def usage(self) -> dict[str, Any]:
        """Return what all processes of this notebook use: {"memory": bytes, "cpu": seconds, "pids": number}."""
        report, _ = await self._broker.ask("usage")
        return report

    async def look(self, container: CellContainer) -> dict[str, Any]:
        """Return what `container` has used so far, as the broker tells it; empty once it is gone."""
        report, _ = await self._broker.ask("look", id=container.id)
        return report

    async def finish(
        self,
        container: CellContainer,
        *,
        state: str | None,
        cell: dict[str, Any] | None,
        parent: str | None,
        beside: bool = False,
        keep_unchanged: bool = True,
    ) -> Finished:
        """End `container`; with a record in `cell`, its changes become a layer on `parent`, and that layer head.

        beside: it does not become head. keep_unchanged: it is kept even if no file has changed.
        """
        if cell is None:
            report, _ = await self._told(container, None)
            self.prepare()
            return container.finished(report)
        record = {
            "id": container.layer,
            "parent": parent,
            "image": self.image.id,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "state": state,
            "cell": {
                **cell,
                "wall_seconds": container.clock.seconds,
                "session": self.session.id,
                "context": self.context.folder if self.context.mode == "ro" else None,
            },
            "digest": None,
        }
        report, answers = await self._told(container, record, keep_unchanged=keep_unchanged)
        finished = container.finished(report)
        if report["committed"] or report["dropped"]:
            await answers.__aexit__()
            self._unchanged_at = time.monotonic()
        if report["committed"]:
            self._advance(container.layer, cell, beside=beside)
        elif report["dropped"]:
            asyncio.get_running_loop().call_soon(self.prepare)
        else:
            self._committing = asyncio.create_task(self._commit(answers, container.layer, cell, beside=beside))
        return finished

    async def _told(
        self, container: CellContainer, commit: dict[str, Any] | None, *, keep_unchanged: bool = True
    ) -> tuple[dict[str, Any], Conversation]:
        """Ask the broker to end `container`; return its first answer, and what follows."""
        answers = self._broker.conversation("finish", id=container.id, commit=commit, keep_unchanged=keep_unchanged)
        try:
            await answers.__aenter__()
            report, _ = await answers.next()
        except CellstackError:
            container.close()
            raise
        if commit is None:
            await answers.__aexit__()
        return report, answers

    async def _commit(self, answers: Conversation, layer: str, cell: dict[str, Any], *, beside: bool) -> None:
        """Wait until the layer is there."""
        try:
            await answers.next()
        except CellstackError as error:
            raise CellstackError(f"the last cell's result could not be kept: {error}") from None
        finally:
            await answers.__aexit__()
        self._advance(layer, cell, beside=beside)

    async def adopt(self, layer: str, number: int) -> bool:
        """Make a layer that stands on head the head, wherever it comes from; return False when it is not there."""
        if not await asyncio.to_thread(self.store.adopt, self.session, layer, number):
            return False
        self.prepare()
        self.on_change()
        return True

    def _advance(self, layer: str, cell: dict[str, Any], *, beside: bool) -> None:
        """Make the layer head, unless it is beside, and prepare the next container when the reply has left."""
        if not beside:
            self.session.head = layer
        self.session.cells.append({"layer": layer, "number": cell.get("number")})
        asyncio.get_running_loop().call_soon(self.prepare)
        self.on_change()
        self._unsaved = True
        if not self._saving:
            self._saving = True
            self.chore(self._save())

    async def settled(self) -> None:
        """Wait until the last cell's layer is committed; CellstackError when it could not be."""
        committing = self._committing
        if committing is not None:
            try:
                await asyncio.shield(committing)
            finally:
                if self._committing is committing and committing.done():
                    self._committing = None

    async def _save(self) -> None:
        """Write the session, and squash the stack below head when it has become long, until both are up to date."""
        try:
            while self._unsaved:
                await asyncio.sleep(SAVE_SECONDS)  # in a row of cells, once for some of them
                self._unsaved = False
                await asyncio.to_thread(self.session.save)
                head = self.head
                if head is not None and await asyncio.to_thread(self._squash, head):
                    self._stacks.clear()
        finally:
            self._saving = False

    def _squash(self, head: str) -> bool:
        squashed = [part for part in PARTS if self.store.squash(self.image, head, part)]
        return bool(squashed)

    # -- programs ----------------------------------------------------------------------------------------------

    async def run(self, program: dict[str, Any], streams: Sequence[int]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run `program` in a new container; return the broker's report and what it said of the container."""
        plan = self._plan(self.limits)
        answer, fds = await self._broker.ask("container", **self._request(plan))
        close_all(fds)
        name = answer["id"]
        rlimits = {}
        if answer["enforced_by"]["memory"] == "rlimit" and plan.limits.memory:
            rlimits["DATA"] = plan.limits.memory
        if answer["enforced_by"]["pids"] == "rlimit" and plan.limits.pids:
            rlimits["NPROC"] = plan.limits.pids
        async with self._broker.conversation(
            "start", streams, id=name, program={**program, "rlimits": rlimits}
        ) as answers:
            await answers.next()
            clock = self._program_clock = Clock(
                plan.limits.timeout, lambda: self._broker.tell("kill", id=name, reason="timeout")
            )
            clock.start()
            try:
                await answers.next()
            finally:
                clock.stop()
        report, _ = await self._broker.ask("finish", id=name, commit=None)
        return report, answer

    # -- the end -----------------------------------------------------------------------------------------------

    async def close(self, ended: str | None = "shutdown") -> None:
        """Kill what runs and remove what was made; layers and the session stay, which notes how it `ended`."""
        with contextlib.suppress(CellstackError):
            await self.settled()
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        if self._waiting is not None:
            self._throw_away(self._waiting[1])
            self._waiting = None
        await self._broker.close()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await asyncio.to_thread(self.store.drop_session, self.session, ended)


def _find_image(store: Store, ref: str, progress: Callable[[str], None]) -> Image:
    if ref in ("default", "cellstack/default", "cellstack/default:latest"):
        return ensure_default(store, progress, check=os.environ.get(IMAGE_CHECK) != "no")
    image = store.image(ref)
    if "cellstack" not in image.config:
        raise HostError(f"the image {ref} has no Python that this version can run cells with")
    return image
