"""Containers of other processes: their records, their clock, the locks that say who lives, what is told of a store."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import live, syscalls
from cellstack_runtime.clock import Clock
from cellstack_runtime.errors import CellstackError, HostError, NotFoundError, StoreError, UsageError
from cellstack_runtime.processes import members, processes
from cellstack_runtime.store import Store
from cellstack_runtime.store.files import is_locked, try_lock
from cellstack_runtime.watch import Change, Watch

if TYPE_CHECKING:
    from pathlib import Path

RUN = "0123abcd"


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def write_record(store: Store, container_id: str, **changes: Any) -> None:
    record: dict[str, Any] = {
        "id": container_id,
        "image": "i",
        "session": "s",
        "created": f"2026 {container_id}",
        "started": None,
    }
    record |= {
        "status": "running",
        "command": ["x"],
        "limits": {"memory": 1 << 20},
        "enforced_by": {},
        "namespaces": {"pid": 1},
    }
    record["parent"] = None
    record |= {"cgroup": None, "cgroups": {}, "pid": 1, **changes}
    path = f"{store.home}/runs/{RUN}/containers/{container_id}.json"
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(record, file)
    os.rename(f"{path}.new", path)


@pytest.fixture(name="lock")
def _lock(own: Store) -> int:
    live.make_run(own, f"{own.home}/runs/{RUN}")
    lock = try_lock(f"{own.home}/runs/{RUN}/lock")
    assert lock is not None
    return lock


def test_containers_of_a_broker_that_died_count_for_nothing(own: Store, lock: int) -> None:
    write_record(own, "a" * 12)
    write_record(own, "b" * 12)
    assert [one.id for one in live.live_containers(own.home)] == ["a" * 12, "b" * 12]
    os.close(lock)
    assert live.live_containers(own.home) == []


def test_a_container_is_found_by_the_beginning_of_its_id(own: Store, lock: int) -> None:
    del lock
    write_record(own, "ab" + "0" * 10)
    write_record(own, "ac" + "0" * 10)
    assert live.find_container(own.home, "ab").id == "ab" + "0" * 10
    with pytest.raises(UsageError, match="could be any of 2"):
        live.find_container(own.home, "a")
    for name in ("", "d", "../a"):
        with pytest.raises(NotFoundError):
            live.find_container(own.home, name)


@pytest.mark.parametrize(
    "damage", [{"pid": "1"}, {"id": "b" * 12}, {"status": "new"}, {"cgroups": {"": 5}}, {"namespaces": {}}]
)
def test_a_record_that_is_none_is_said_to_be_corrupt(own: Store, lock: int, damage: dict[str, Any]) -> None:
    del lock
    write_record(own, "a" * 12, **damage)
    with pytest.raises(CellstackError, match="is corrupt"):
        live.read_container(f"{own.home}/runs/{RUN}", "a" * 12)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_record_keeps_nobody_from_the_others(own: Store, lock: int, text: bytes) -> None:
    del lock
    write_record(own, "a" * 12)
    write_record(own, "b" * 12)
    with open(f"{own.home}/runs/{RUN}/containers/{'a' * 12}.json", "wb") as file:
        file.write(text)
    with pytest.raises(CellstackError, match="the record of container a"):
        live.read_container(f"{own.home}/runs/{RUN}", "a" * 12)
    assert [one.id for one in live.live_containers(own.home)] == ["b" * 12]


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_damaged_line_of_what_has_ended_is_left_out(own: Store, text: str) -> None:
    os.makedirs(f"{own.home}/ended")
    with open(f"{own.home}/ended/{RUN}.jsonl", "w", encoding="utf-8") as file:
        file.write(text)
    assert live.ended_containers(own.home) == []


def test_a_container_whose_broker_does_not_listen_has_ended(own: Store, lock: int) -> None:
    del lock
    write_record(own, "a" * 12)
    container = live.find_container(own.home, "a")
    for act in (live.kill, live.pause, live.stop):
        with pytest.raises(NotFoundError, match="has ended"):
            act(container)


def test_who_looks_whether_a_lock_is_held_keeps_nobody_from_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    (tmp_path / "lock").touch()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_locked(path)

    watchers = [threading.Thread(target=look) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in range(500):
            lock = try_lock(path)
            assert lock is not None
            assert try_lock(path) is None
            os.close(lock)
    finally:
        stop.set()
        for watcher in watchers:
            watcher.join()


def test_a_clock_does_not_count_while_it_is_paused() -> None:
    async def run() -> list[float]:
        expired = asyncio.Event()
        clock = Clock(0.2, expired.set)
        clock.resume()  # what was not started does not go on
        assert (clock.is_new, clock.seconds) == (True, 0.0)
        clock.start()
        clock.pause()
        clock.pause()
        counted = clock.seconds
        await asyncio.sleep(0.3)
        assert (clock.seconds, expired.is_set()) == (counted, False)
        clock.resume()
        await asyncio.wait_for(expired.wait(), 5)
        clock.stop()
        clock.resume()  # nor what was stopped
        stopped = clock.seconds
        await asyncio.sleep(0.01)
        assert clock.seconds == stopped
        clock.reset()
        assert clock.is_new
        return [counted, stopped]

    counted, stopped = asyncio.run(run())
    assert counted < 0.1
    assert 0.19 <= stopped < 0.3


def _told(watch: Watch) -> list[Change]:
    """Return what is told next, if anything is within a second."""
    return watch.changes() if select.select([watch], [], [], 1)[0] else []


def test_what_happens_in_a_store_is_told_once(own: Store) -> None:
    watch = Watch(own.home)
    try:
        session = own.create_session(None, "image")
        assert Change("session", session.id) in _told(watch)
        session.save()
        assert _told(watch) == [Change("session", session.id)]
        assert session.is_live()
        assert not select.select([watch], [], [], 0.1)[0]  # looking is nothing that happens
        session.release()
        assert _told(watch) == [Change("session", session.id)]
        live.make_run(own, f"{own.home}/runs/{RUN}")
        assert _told(watch) == [Change("run", RUN)]
        write_record(own, "a" * 12)
        write_record(own, "a" * 12)
        assert _told(watch) == [Change("container", f"{RUN}/{'a' * 12}")]
        os.unlink(f"{own.home}/runs/{RUN}/containers/{'a' * 12}.json")
        assert _told(watch) == [Change("container", f"{RUN}/{'a' * 12}")]
        os.makedirs(f"{own.home}/build/x")
        os.rename(f"{own.home}/build/x", f"{own.home}/layers/{'c' * 32}")
        assert _told(watch) == [Change("layer", "c" * 32)]
        image = own.put_image([], {}, "2026-01-01T00:00:00+00:00")
        assert _told(watch) == [Change("images")]
        for reference in ("name:one", "name:two"):
            own.tag(image.id, reference)
            assert _told(watch) == [Change("images")]
        own.untag("name:one")
        assert _told(watch) == [Change("images")]
    finally:
        watch.close()


def test_what_was_there_before_is_watched_too(own: Store, lock: int) -> None:
    session = own.create_session(None, "image")
    watch = Watch(own.home)
    try:
        write_record(own, "a" * 12)
        session.release()
        assert set(_told(watch)) == {Change("container", f"{RUN}/{'a' * 12}"), Change("session", session.id)}
        os.close(lock)
        assert _told(watch) == [Change("run", RUN)]
    finally:
        watch.close()


@pytest.mark.parametrize("gone", ["", "/sessions", "/tags"])
def test_a_store_that_is_moved_or_removed_is_lost_to_who_watches_it(own: Store, tmp_path: Path, gone: str) -> None:
    for go in (lambda path: os.rename(path, tmp_path / f"away{gone.strip('/')}"), shutil.rmtree):
        watch = Watch(own.home)
        try:
            go(own.home + gone)
            assert Change("lost") in _told(watch)
            with pytest.raises(StoreError, match="is not whole"):
                Watch(own.home)
        finally:
            watch.close()
            Store.open(own.home)


def test_who_may_watch_no_more_is_told_so(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(own.home)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    try:
        monkeypatch.setattr(syscalls, "inotify_add_watch", full)
        own.create_session(None, "image").release()
        with pytest.raises(HostError, match="cannot be watched"):
            _told(watch)
    finally:
        watch.close()


def test_a_process_is_seen_with_its_memory_and_command() -> None:
    own = next(one for one in processes([os.getpid()]))
    assert (own.pid, own.ppid) == (os.getpid(), os.getppid())
    assert own.memory > 1 << 20
    assert "pytest" in own.command
    assert str(os.getpid()) in members(os.readlink("/proc/self/ns/pid"))
    assert processes([2**22 - 1]) == []
