"""Tells all browsers what happens: one watch and one reader of metrics for a server, however many there are.

Nothing is watched or read while nobody has subscribed to anything. Ids and states are told on Jupyter's event bus as
well, for other extensions; metrics are not, since each browser has all of the bus, whether it shows them or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from cellstack_lab.clients import RESET
from cellstack_lab.containers import Containers
from cellstack_lab.validation import validator
from cellstack_runtime import live
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.metrics import sample
from cellstack_runtime.watch import Change, Watch

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from cellstack_lab.clients import Client, Subscription
    from cellstack_lab.reading import Reader
    from cellstack_lab.service import Service
    from cellstack_runtime.live import Container

# What is on the server's event bus, too, and of what it is about: no code, no names, no paths.
PUBLIC = {
    "container": ("id", "session", "status"),
    "images": (),
    "layer": ("id", "number", "status"),
    "session": ("id", "head", "live"),
}
SCHEMA = "urn:cellstack:events/{}"
Event = dict[str, Any]


class Hub:
    """Reads what has changed, in threads, and gives it to the clients that want it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clients: set[Client] = set()
        self._watch: Watch | None = None
        self._changes: dict[Change, None] = {}
        self._wake = asyncio.Event()
        self._tick = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._starting = asyncio.Lock()
        self._adjusting: set[asyncio.Task[None]] = set()  # kept, or they might be collected before they are done
        self._known: dict[str, tuple[Container, Event]] = {}  # by id
        self._sessions: dict[str, Event] = {}  # as they were told last

    @property
    def is_idle(self) -> bool:
        """Whether nothing is watched or read."""
        return self._watch is None and not self._tasks

    # -- clients -----------------------------------------------------------------------------------------------

    async def subscribe(self, client: Client, subscription: Subscription) -> None:
        """Tell `client` of what is in `subscription`, and of nothing else, from when this returns."""
        self._clients.add(client)
        client.subscription, client.due = subscription, 0.0
        await self._adjust()
        self._tick.set()

    def leaves(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)
        self._later(self._adjust())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._adjusting.add(task)
        task.add_done_callback(self._adjusting.discard)

    async def _adjust(self) -> None:
        """Watch as long as somebody wants to know."""
        async with self._starting:
            wanted = any(client.subscription.wants_anything for client in self._clients)
            if wanted and self._watch is None:
                await self._start()
            elif not wanted and self._watch is not None:
                self._stop()

    async def _start(self) -> None:
        reader = await self._service.reader()
        self._watch = await self._service.run(Watch, reader.store.home)
        try:
            await self._look_at_all(reader)
        except BaseException:
            self._stop()
            raise
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._on_changes)
        self._tasks = [asyncio.create_task(work) for work in (self._tell_changes(), self._tell_metrics())]
        for task in self._tasks:
            task.add_done_callback(self._on_mistake)

    async def _start_anew(self) -> None:
        """Have another watch, and all clients fetch anew what they show."""
        async with self._starting:
            if self._watch is None:
                return
            self._stop()
            try:
                await self._start()
            except Exception as error:  # noqa: BLE001  whatever it is, the clients are told
                self._fail(error)
                return
            self._reset()

    def _on_mistake(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks and not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Watch no more, and close all connections: browsers connect anew, and then it is tried anew."""
        if isinstance(error, CellstackError):
            self._service.log.warning("cellstack: events have stopped: %s", error)
        else:
            self._service.log.error("cellstack: events have stopped", exc_info=error)
        self._stop()
        clients, self._clients = self._clients, set()
        for client in clients:
            client.fail(str(error) if isinstance(error, CellstackError) else "events have stopped")

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        self._changes.clear()
        self._known.clear()
        self._sessions.clear()

    async def close(self) -> None:
        """Forget all clients."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        await self._adjust()

    def _broadcast(self, event: Event) -> None:
        self._service.events.emit(schema_id=SCHEMA.format(event["type"]), data=_public(event))
        message = json.dumps(event)
        for client in self._clients:
            if _is_wanted(event, client.subscription):
                client.put(message)

    def _reset(self) -> None:
        """Have all clients fetch anew what they show."""
        for client in self._clients:
            client.put(RESET)

    # -- what happens ------------------------------------------------------------------------------------------

    def _on_changes(self) -> None:
        assert self._watch is not None
        try:
            changes = self._watch.changes()
        except (CellstackError, OSError) as error:
            self._fail(error)
            return
        if Change("lost") in changes:
            self._later(self._start_anew())
        self._changes.update(dict.fromkeys(changes))
        self._wake.set()

    async def _tell_changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changes, self._changes = list(self._changes), {}
            try:
                await self._tell(changes)
            except (CellstackError, OSError) as error:
                self._service.log.warning("cellstack: what has changed could not be read: %s", error)
                self._reset()  # else they would never hear of it

    async def _tell(self, changes: list[Change]) -> None:
        reader = await self._service.reader()
        found = await self._service.run(_read, reader, changes)
        dead = {change.name for change in changes if change.kind == "run"} - found.live
        gone = {
            name: self._known.pop(name)[1]
            for name, (container, _) in list(self._known.items())
            if name in found.gone or container.run.rpartition("/")[2] in dead
        }
        ended = await self._service.run(_ended, reader, gone) if gone else {}
        for name, event in gone.items():
            self._broadcast({"type": "container", "container": ended.get(name, {**event, "status": "ended"})})
        for container, event in found.containers:
            if self._known.get(container.id, (None, None))[1] != event:
                self._known[container.id] = (container, event)
                self._broadcast({"type": "container", "container": event})
        for session_id, layer in found.layers:
            self._broadcast({"type": "layer", "session": session_id, "layer": layer, "head": layer["id"]})
        for session_id, session in found.sessions:
            told = self._sessions.pop(session_id, None)
            if session is not None:
                self._sessions[session_id] = session
            elif told is not None:
                session = {**told, "live": False}  # noqa: PLW2901  it had no layer, and is gone
            if session is not None and session != told:
                self._broadcast({"type": "session", "session": session})
        if Change("images") in changes:
            self._broadcast({"type": "images"})
        self._tick.set()

    async def _look_at_all(self, reader: Reader) -> None:
        """Know the containers that there are."""
        found = await self._service.run(live.live_containers, reader.store.home)
        shown = await self._service.run(lambda: [Containers(reader).container(one) for one in found])
        self._known = {one.id: (one, event) for one, event in zip(found, shown, strict=True)}
        self._sessions.clear()

    # -- metrics -----------------------------------------------------------------------------------------------

    async def _tell_metrics(self) -> None:
        """Read metrics at the smallest interval that is wanted, of what is wanted, for all clients at once."""
        loop = asyncio.get_running_loop()
        while True:
            clients = [client for client in self._clients if client.subscription.containers]
            wanted = [
                container
                for container, _ in self._known.values()
                if container.status != "waiting"
                and any(client.subscription.has_container(container.id) for client in clients)
            ]
            self._tick.clear()
            if not wanted:
                await self._tick.wait()
                continue
            shortest = min(client.subscription.interval for client in clients)
            now = loop.time()
            due = [client for client in clients if client.due <= now + shortest / 2]
            next_due = min(client.due for client in clients)
            if next_due > now:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._tick.wait(), next_due - now)
                continue
            samples = await self._service.run(_samples, wanted)
            for client in due:
                client.due = now + client.subscription.interval
                own = [taken for taken in samples if client.subscription.has_container(taken["id"])]
                if own:
                    client.put(json.dumps({"type": "metrics", "metrics": own}), metrics=True)


def _samples(containers: list[Container]) -> list[Event]:
    """Read what containers use; in a thread. One that cannot be read, as it ends, keeps nobody from the others."""
    found = []
    for container in containers:
        with contextlib.suppress(CellstackError, OSError):
            taken = sample(container)
            if taken is not None:
                found.append(taken.as_json())
    return found


def _public(event: Event) -> Event:
    """Return what of an event is for all who read the server's event bus: they need not be allowed to see Cellstack."""
    told = PUBLIC[event["type"]]
    return {
        name: {key: value[key] for key in told if key in value} if isinstance(value, dict) else value
        for name, value in event.items()
    }


def _is_wanted(event: Event, wanted: Subscription) -> bool:
    match event["type"]:
        case "container":
            container = event["container"]
            return wanted.has_container(container["id"]) or wanted.has_session(container["session"])
        case "layer":
            return wanted.has_session(event["session"])
        case "session":
            return wanted.has_session(event["session"]["id"])
    return bool(wanted.sessions)  # images are of no session, and layers say how they are called


def _ended(reader: Reader, names: Collection[str]) -> dict[str, Event]:
    """Return those of the containers `names` of which it is known how they ended; in a thread."""
    found = live.ended_containers(reader.store.home)
    return {one.container.id: Containers(reader).ended(one) for one in found if one.container.id in names}


class _Found:
    """What there is of what has changed."""

    def __init__(self) -> None:
        self.layers: list[tuple[str, Event]] = []
        self.sessions: list[tuple[str, Event | None]] = []
        self.containers: list[tuple[Container, Event]] = []
        self.gone: set[str] = set()
        self.live: set[str] = set()


def _read(reader: Reader, changes: list[Change]) -> _Found:
    """Read what has changed; in a thread."""
    found = _Found()
    home = reader.store.home
    for change in changes:
        if change.kind == "layer":
            with contextlib.suppress(CellstackError):  # removed already, or damaged
                layer = reader.store.layer(change.name)
                owner = layer.cell.get("session")
                # An image's layers have none.
                if isinstance(owner, str) and validator("requests.json", "session_id").is_valid(owner):
                    found.layers.append((owner, reader.new_layer(layer)))
        elif change.kind == "session":
            try:
                found.sessions.append((change.name, reader.session(reader.store.session(change.name))))
            except CellstackError:  # it has no layer, and is gone
                found.sessions.append((change.name, None))
        elif change.kind == "run":
            if live.is_alive(f"{home}/runs/{change.name}"):
                found.live.add(change.name)
        elif change.kind == "container":
            run, _, name = change.name.partition("/")
            with contextlib.suppress(CellstackError):  # damaged
                container = live.read_container(f"{home}/runs/{run}", name)
                if container is None:
                    found.gone.add(name)
                else:
                    found.containers.append((container, Containers(reader).container(container)))
    return found
