"""One driver renders a video, whoever else wants it and whoever dies, on every kind of store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import ConfigError, ObjectExistsError
from storage import keys
from storage.holder import Holder, this_process
from storage.lease_record import CLOCK_SKEW_S, from_json, to_json
from storage.leases import LeaseOptions, Leases, all_newest, newest_of
from storage.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.stores import ObjectInfo
    from storage.lease_record import LeaseRecord
    from storage.s3 import S3Store

    Store = LocalStore | S3Store

QUICK = LeaseOptions(ttl_s=2.0, settle_s=0.2)
ELSEWHERE = Holder("far-away", 7, "another machine", "1")
TTL_S = 60.0


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def leases_at(store: Store, clock: Clock | None = None, **options: float) -> Leases:
    """The leases as a driver on another machine sees them."""
    given = LeaseOptions(**({"ttl_s": TTL_S, "settle_s": 0.2} | options))
    return Leases(store, given, holder=ELSEWHERE, clock=clock or time.monotonic)


def newest(store: Store, video_id: str = "a") -> LeaseRecord:
    record = newest_of(store, video_id)[1]
    assert record is not None
    return record


def rewrite(store: Store, **changes: Any) -> None:
    """Change the record that counts, behind everyone's back."""
    number, record = newest_of(store, "a")
    assert record is not None
    key = keys.numbered(keys.leases_of("a"), number)
    store.put_bytes(key, to_json(replace(record, **changes)), overwrite=True)


def test_one_of_two_gets_a_video_and_the_other_after_it(store: Store) -> None:
    mine, theirs = leases_at(store), leases_at(store)
    lease = mine.acquire("a", "f1")
    assert lease is not None
    assert theirs.acquire("a", "f1") is None
    assert theirs.acquire("a", "another-request") is None
    other = theirs.acquire("b", "f1")
    assert other is not None
    assert [record.id for record in all_newest(store)] == ["a", "b"]
    for _ in range(3):
        assert lease.renew()
    assert len(list(store.list_keys(keys.leases_of("a")))) == 1
    lease.release(done=False)
    taken = theirs.acquire("a", "f1")
    assert taken is not None
    taken.release(done=True)
    other.release(done=True)
    assert list(store.list_keys(keys.LEASES)) == []


def test_of_rivals_at_the_same_instant_one_believes(store: Store) -> None:
    """Swift tells several of them that they have created the record; one may believe it."""
    with ThreadPoolExecutor(6) as pool:
        rivals = [leases_at(store, settle_s=1.0) for _ in range(6)]
        won = list(pool.map(lambda rival: rival.acquire("a", "f"), rivals))
    (winner,) = [lease for lease in won if lease is not None]
    assert winner.renew()


def test_a_store_that_lets_everyone_create(
    folder: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of stores: whoever writes last has it, and both were told that they were first."""
    monkeypatch.setattr(LocalStore, "creates_atomically", False)
    put_bytes = LocalStore.put_bytes
    rivals = [leases_at(folder), leases_at(folder)]

    def late_rival(self: LocalStore, key: str, data: bytes, **given: Any) -> Any:
        info = put_bytes(self, key, data, **given)
        rival = from_json(data, "a")
        put_bytes(self, key, to_json(replace(rival, token="rival")), overwrite=True)
        return info

    monkeypatch.setattr(LocalStore, "put_bytes", late_rival)
    assert rivals[0].acquire("a", "f") is None
    monkeypatch.setattr(LocalStore, "put_bytes", put_bytes)
    assert rivals[1].acquire("a", "f") is None
    assert newest(folder).token == "rival"


class LateStore(LocalStore):
    """A store that looked before anyone else had written, and writes long after."""

    creates_atomically = False
    is_late = True

    def list_keys(self, prefix: str) -> Iterator[str]:
        return iter(()) if self.is_late else super().list_keys(prefix)

    def put_bytes(self, key: str, data: bytes, **_: Any) -> ObjectInfo:
        overwrite, self.is_late = self.is_late, False
        return super().put_bytes(key, data, overwrite=overwrite)


def test_a_rival_whose_write_arrives_late_does_not_believe(tmp_path: Path) -> None:
    """It is told that it created the first record, and has written over one believed in."""
    store = LateStore(tmp_path)
    store.is_late = False
    winner = leases_at(store).acquire("a", "f")
    assert winner is not None
    assert newest_of(store, "a")[0] == 2
    late = LateStore(tmp_path)
    assert leases_at(late).acquire("a", "f") is None
    assert not late.is_late
    assert winner.renew()


def test_a_lease_is_taken_over_when_it_is_not_renewed(folder: LocalStore) -> None:
    """By the clock of whoever watches; how long, the lease itself says."""
    clock = Clock()
    dead = leases_at(folder, ttl_s=30.0).acquire("a", "f1")
    watcher = leases_at(folder, clock, ttl_s=5.0)
    assert watcher.acquire("a", "f1") is None
    clock.now_s += 29
    assert watcher.acquire("a", "f1") is None
    clock.now_s += 2
    taken = watcher.acquire("a", "f1")
    assert taken is not None
    assert dead is not None
    assert not dead.renew()
    assert dead.lost
    dead.release(done=True)
    assert taken.renew()


def test_a_renewal_starts_the_wait_anew(folder: LocalStore) -> None:
    clock = Clock()
    lease = leases_at(folder).acquire("a", "f1")
    assert lease is not None
    watcher = leases_at(folder, clock)
    for _ in range(5):
        assert watcher.acquire("a", "f1") is None
        clock.now_s += TTL_S - 1
        assert lease.renew()
    assert watcher.acquire("a", "f1") is None


@pytest.mark.parametrize(
    ("hours", "taken"), [(0.0, False), (-0.05, False), (2.0, False), (-2.0, True)]
)
def test_clocks_may_be_apart_by_minutes(folder: LocalStore, hours: float, taken: bool) -> None:
    """At first sight only a lease that is long over is free; one from the future never is."""
    assert leases_at(folder).acquire("a", "f1") is not None
    assert CLOCK_SKEW_S >= 300
    rewrite(folder, renewed_at=datetime.now(UTC) + timedelta(hours=hours))
    assert (leases_at(folder).acquire("a", "f1") is not None) == taken


def test_a_lease_that_ran_out_unnoticed_is_renewed(folder: LocalStore) -> None:
    lease = leases_at(folder).acquire("a", "f1")
    assert lease is not None
    rewrite(folder, renewed_at=datetime.now(UTC) - timedelta(hours=2))
    assert lease.renew()
    assert leases_at(folder).acquire("a", "f1") is None


def test_a_lease_that_was_taken_over_and_is_over_is_lost(folder: LocalStore) -> None:
    """Whoever took it over is done, and has left nothing; going on would do it all again."""
    lease = leases_at(folder).acquire("a", "f1")
    assert lease is not None
    rewrite(folder, renewed_at=datetime.now(UTC) - timedelta(hours=2))
    taken = leases_at(folder).acquire("a", "f1")
    assert taken is not None
    taken.release(done=True)
    assert list(folder.list_keys(keys.LEASES)) == []
    assert not lease.renew()
    lease.release(done=False)
    assert list(folder.list_keys(keys.LEASES)) == []


def test_a_dead_process_of_this_machine_holds_nothing(folder: LocalStore) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = f"/proc/{process.pid}/stat"
    with open(stat) as file:  # noqa: PTH123
        started = file.read().rpartition(")")[2].split()[19]
    holder = replace(this_process(), pid=process.pid, started=started)
    assert Leases(folder, QUICK, holder=holder).acquire("a", "f1") is not None
    assert not holder.is_gone()
    assert leases_at(folder).acquire("a", "f1") is None
    process.kill()
    process.wait(30)
    assert holder.is_gone()
    assert leases_at(folder).acquire("a", "f1") is not None


def test_whether_a_process_is_gone_is_said_only_where_it_can_be_known() -> None:
    me = this_process()
    assert not me.is_gone()
    assert replace(me, started="1").is_gone()
    assert not ELSEWHERE.is_gone()
    assert not replace(me, machine="", started="1").is_gone()


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"state": "held", "ttl_s": "x"}'])
def test_a_record_that_cant_be_read_is_somebody_s_for_a_while(
    folder: LocalStore, data: bytes
) -> None:
    folder.put_bytes("leases/a/000004.json", data)
    clock = Clock()
    watcher = leases_at(folder, clock)
    assert watcher.acquire("a", "f1") is None
    clock.now_s += 61
    assert watcher.acquire("a", "f1") is not None
    assert newest_of(folder, "a")[0] == 5


def test_records_are_read_by_people_too(folder: LocalStore) -> None:
    lease = Leases(folder, QUICK).acquire("a", "f1")
    assert lease is not None
    (key,) = folder.list_keys(keys.LEASES)
    assert key == "leases/a/000001.json"
    values = json.loads(folder.get_bytes(key))
    me = this_process()
    assert (values["state"], values["host"], values["pid"]) == ("held", me.host, me.pid)
    assert from_json(folder.get_bytes(key), "a").holder == me


def test_a_taken_number_is_no_lease(folder: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object, **__: object) -> None:
        raise ObjectExistsError("taken")

    lease = leases_at(folder).acquire("a", "f1")
    assert lease is not None
    monkeypatch.setattr(LocalStore, "put_bytes", taken)
    assert leases_at(folder).acquire("b", "f1") is None
    assert lease.renew() is False
    assert lease.lost


@pytest.mark.parametrize(
    "options", [{"ttl_s": 0.0}, {"ttl_s": 1e6}, {"ttl_s": 1.0, "settle_s": 2.0}]
)
def test_options_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"lease\."):
        LeaseOptions(**options)
