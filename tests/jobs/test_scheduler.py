"""Schedulers under a simulated clock: every due time once, whatever happens to whom."""

from __future__ import annotations

import os
import random
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.scheduler import Scheduler
from pipeline.errors import StoreUnavailableError
from storage.job_queue import JobQueue
from storage.open import open_store
from storage.schedule import Schedule
from storage.schedule_runs import ScheduleRuns, compact
from storage.schedules import NoSuchScheduleError, Schedules
from tests.due_times import END, START, ZONES, due_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.job_request import JobRequest
    from storage.local import LocalStore
    from storage.s3 import S3Store
    from storage.schedule_runs import ScheduledRun

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Bench:
    """A queue with schedules, and schedulers at it."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self.queue, self.clock = JobQueue(store), Clock()
        self.schedules = Schedules(store)
        self.missing: set[str] = set()

    def add(self, name: str, **given: object) -> Schedule:
        schedule = Schedule(
            **{  # type: ignore[arg-type]
                "name": name,
                "cron": "0 1 * * *",
                "timezone": "UTC",
                "manifest": "s3://prompts/{date}/*.parquet",
                "output": "s3://films/{date}",
                "owner": "ada",
                "since": self.clock.now.isoformat(),
                "written_at": self.clock.now.isoformat(),
                "written_by": "test",
                **given,
            }
        )
        return self.schedules.revise(name, lambda _: schedule)

    def change(self, name: str, **changes: object) -> None:
        at = self.clock.now.isoformat()

        def changed(schedule: Schedule | None) -> Schedule:
            assert schedule is not None
            return replace(schedule, written_at=at, **changes)

        self.schedules.revise(name, changed)

    def scheduler(self, by: str = "one") -> Scheduler:
        return Scheduler(
            self.queue, clock=self.clock, by=by, has_manifest=self.has_manifest, settle_s=0
        )

    def has_manifest(self, request: JobRequest) -> bool:
        return request.manifest not in self.missing

    def runs(self, name: str) -> list[ScheduledRun]:
        runs = ScheduleRuns(self.queue.store, name)
        return [found for at in runs.times() if (found := runs.read(at)) is not None]

    def outcomes(self, name: str) -> list[str]:
        return [run.reason or run.outcome for run in self.runs(name)]

    def end(self, job_id: str, event: str = "finished") -> None:
        self.queue.log(job_id).write("started", by="test")
        self.queue.log(job_id).write(event, by="test")  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(open_store(str(tmp_path / "queue")))


@pytest.fixture
def quick_bench(tmp_path: Path) -> Iterator[Bench]:
    """On a disk in memory, where there is one: twenty thousand small files, each flushed."""
    memory = Path("/dev/shm")
    folder = memory if memory.is_dir() and os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=folder) as name:
        yield Bench(open_store(name))


@pytest.mark.slow
@pytest.mark.longest
def test_two_years_in_five_time_zones(quick_bench: Bench) -> None:
    """Two schedulers with nights of their own, now and then replaced by new ones.

    A tick comes at random, hours apart, before and after each due time; at half past two, which
    spring nights leave out and autumn nights have twice.
    """
    bench = quick_bench
    at = {name.rpartition("/")[2]: name for name in ZONES}
    for name, zone in at.items():
        bench.add(name, cron="30 2 * * *", timezone=zone)
    chance = random.Random(0)
    schedulers = [bench.scheduler("one"), bench.scheduler("two")]
    while bench.clock.now < END:
        bench.clock.now = min(END, bench.clock.now + chance.uniform(4, 22) * HOUR)
        if chance.random() < 0.02:
            schedulers[chance.randrange(2)] = bench.scheduler("new")
        for scheduler in chance.sample(schedulers, chance.choice((1, 1, 2))):
            list(scheduler.tick())
    expected = [
        f"{name}-{compact(due)}" for name, zone in at.items() for due in due_times(zone, "02:30")
    ]
    assert list(bench.queue.ids()) == sorted(expected)
    assert 5 * 730 - 5 <= len(expected) <= 5 * 730 + 5
    for name, zone in at.items():
        runs = bench.runs(name)
        assert [run.nominal for run in runs] == due_times(zone, "02:30")
        assert {run.outcome for run in runs} == {"submitted"}


def test_a_run_s_request(bench: Bench) -> None:
    bench.clock.now = datetime(2026, 3, 28, 12, tzinfo=UTC)
    bench.add(
        "nightly",
        cron="30 2 * * *",
        timezone="Europe/Paris",
        settings=("gang.actors=2",),
        priority=3,
        max_gpu_hours=12.0,
        not_after=time(7),
    )
    bench.clock.now += DAY
    (run,) = bench.scheduler().tick()
    request = run.request
    assert request is not None
    # A time that the night of the 29th leaves out: three o'clock summer time.
    assert request.id == "nightly-20260329T010000Z"
    assert request.nominal_at == "2026-03-29T03:00:00+02:00"
    assert request.manifest == "s3://prompts/2026-03-29/*.parquet"
    assert request.window is not None
    assert (request.window.not_before, request.window.not_after) == (time(3), time(7))
    assert (request.owner, request.priority, request.max_gpu_hours) == ("ada", 3, 12.0)
    assert bench.queue.job(request.id).request == request


def test_nothing_is_due_before_the_schedule_was_made_and_after_it_was_removed(bench: Bench) -> None:
    bench.add("nightly")
    scheduler = bench.scheduler()
    assert list(scheduler.tick()) == []
    assert scheduler.next_due() == START + HOUR
    bench.clock.now += DAY
    assert len(list(scheduler.tick())) == 1
    bench.change("nightly", state="removed")
    bench.clock.now += DAY
    assert list(scheduler.tick()) == []
    assert list(bench.scheduler().tick()) == []
    with pytest.raises(NoSuchScheduleError, match="no schedule 'nightly'"):
        bench.schedules.latest("nightly")
    bench.add("nightly")
    bench.clock.now += DAY
    assert [run.time for run in scheduler.tick()] == ["20260103T010000Z"]


@pytest.mark.parametrize(
    ("catch_up", "deadline_s", "expected"),
    [
        ("latest", None, ["missed", "missed", "submitted"]),
        ("all", None, ["submitted", "submitted", "submitted"]),
        ("none", None, ["missed", "missed", "missed"]),
        ("all", 7200.0, ["deadline", "deadline", "submitted"]),
        ("latest", 1800.0, ["missed", "missed", "deadline"]),
    ],
)
def test_what_no_scheduler_saw_in_time(
    bench: Bench, catch_up: str, deadline_s: float | None, expected: list[str]
) -> None:
    bench.add("nightly", catch_up=catch_up, starting_deadline_s=deadline_s)
    bench.clock.now += 2 * DAY + 2 * HOUR
    list(bench.scheduler().tick())
    assert bench.outcomes("nightly") == expected
    bench.clock.now += 23 * HOUR
    list(bench.scheduler().tick())
    assert bench.outcomes("nightly") == [*expected, "submitted"]


def test_after_a_very_long_outage_old_times_share_a_record(bench: Bench) -> None:
    bench.add("often", cron="*/10 * * * *")
    bench.clock.now += 10 * DAY
    list(bench.scheduler().tick())
    runs = bench.runs("often")
    assert len(runs) == 100
    assert sum(run.num_times for run in runs) == 10 * 24 * 6
    assert Counter(bench.outcomes("often")) == {"missed": 99, "submitted": 1}


def test_suspended_runs_are_skipped_and_not_caught_up(bench: Bench) -> None:
    bench.add("nightly", catch_up="all")
    scheduler = bench.scheduler()
    bench.change("nightly", state="suspended")
    bench.clock.now += DAY
    list(scheduler.tick())
    bench.clock.now += DAY  # a night that no scheduler sees
    bench.change("nightly", state="active")
    bench.clock.now += DAY
    list(scheduler.tick())
    assert bench.outcomes("nightly") == ["suspended", "suspended", "submitted"]


def test_forbid_waits_for_the_earlier_run(bench: Bench) -> None:
    bench.add("nightly", concurrency="Forbid")
    scheduler = bench.scheduler()
    for ended in (False, True, True):
        bench.clock.now += DAY
        list(scheduler.tick())
        if ended:
            for job in list(bench.queue.jobs()):
                if job.state == "queued":
                    bench.end(job.request.id, "failed")
    assert bench.outcomes("nightly") == ["submitted", "forbid", "submitted"]
    assert "nightly-20260101T010000Z" in bench.runs("nightly")[1].message


def test_replace_asks_the_earlier_run_to_cancel(bench: Bench) -> None:
    bench.add("nightly", concurrency="Replace")
    scheduler = bench.scheduler()
    bench.clock.now += DAY
    list(scheduler.tick())
    bench.queue.log("nightly-20260101T010000Z").write("started", by="test")
    bench.clock.now += DAY
    list(scheduler.tick())
    bench.clock.now += DAY
    list(scheduler.tick())
    first, second, third = bench.queue.jobs()
    assert (first.state, second.state, third.state) == ("cancelling", "cancelled", "queued")
    assert first.events[-1].reason == "replaced by nightly-20260102T010000Z"
    assert [run.replaces for run in bench.runs("nightly")] == [
        (),
        (first.request.id,),
        (first.request.id, second.request.id),
    ]


def test_no_manifest_is_an_outcome(bench: Bench) -> None:
    bench.add("nightly")
    bench.missing.add("s3://prompts/2026-01-01/*.parquet")
    bench.clock.now += DAY
    (run,) = bench.scheduler().tick()
    assert (run.outcome, run.reason) == ("skipped", "no manifest")
    assert run.message == "nothing is there: s3://prompts/2026-01-01/*.parquet"
    assert list(bench.queue.ids()) == []


def test_one_schedule_that_can_t_be_settled_does_not_keep_the_others(bench: Bench) -> None:
    bench.add("a", manifest="s3://unreachable/{date}")
    bench.add("b")

    def has_manifest(request: JobRequest) -> bool:
        if "unreachable" in request.manifest:
            raise StoreUnavailableError("no answer")
        return True

    scheduler = Scheduler(bench.queue, clock=bench.clock, by="x", has_manifest=has_manifest)
    bench.clock.now += DAY
    assert [run.request.id[0] for run in scheduler.tick() if run.request] == ["b"]
    assert list(scheduler.problems) == ["a"]
    assert bench.outcomes("a") == []
    assert [run.outcome for run in bench.scheduler().tick()] == ["submitted"]


def test_on_a_store_that_takes_two_creations_the_last_one_stands_for_both(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Swift does: what was written is written over by a rival that was told it was first."""
    bench.add("nightly")
    bench.clock.now += DAY
    store_class = type(bench.queue.store)
    monkeypatch.setattr(store_class, "creates_atomically", False)
    runs = ScheduleRuns(bench.queue.store, "nightly", settle_s=0)
    (run,) = bench.scheduler().tick()
    rival = replace(run, outcome="skipped", reason="forbid", request=None, decided_by="rival")
    assert runs.decide(rival).decided_by == "one"
    put: Callable[..., object] = store_class.put_bytes

    def put_over(self: object, key: str, data: bytes, **options: object) -> object:
        return put(self, key, data, **{**options, "overwrite": True})

    monkeypatch.setattr(store_class, "put_bytes", put_over)
    first = replace(run, time="20260102T010000Z")

    def rival_writes(_: float) -> None:
        monkeypatch.setattr("storage.schedule_runs.time.sleep", lambda _: None)
        runs.decide(replace(rival, time=first.time))

    monkeypatch.setattr("storage.schedule_runs.time.sleep", rival_writes)
    assert runs.decide(first).decided_by == "rival"


class DiedError(Exception):
    """A scheduler's process is gone."""


@pytest.mark.parametrize("concurrency", ["Allow", "Replace"])
def test_a_scheduler_that_dies_before_or_after_any_of_its_writes(
    bench: Bench, concurrency: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write of a run in turn is the last thing that one does, or the first that it doesn't."""
    bench.add("nightly", concurrency=concurrency)
    store_class = type(bench.queue.store)
    put: Callable[..., object] = store_class.put_bytes
    left: list[int] = []

    def put_bytes(self: object, key: str, data: bytes, **options: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise DiedError
        return put(self, key, data, **options)

    monkeypatch.setattr(store_class, "put_bytes", put_bytes)
    num_deaths = 0
    for allowed in (0, 1, 2, 3, 4, 5):
        bench.clock.now += DAY
        left[:] = [allowed]
        try:
            list(bench.scheduler("dies").tick())
        except DiedError:
            num_deaths += 1
        left[:] = [1000]
        list(bench.scheduler("lives").tick())
    assert num_deaths >= 3
    nights = [compact(START + HOUR + n * DAY) for n in range(6)]
    assert [job.request.id for job in bench.queue.jobs()] == [f"nightly-{at}" for at in nights]
    runs = ScheduleRuns(bench.queue.store, "nightly")
    assert all(runs.is_carried_out(at) for at in nights)
    if concurrency == "Replace":
        states = [job.state for job in bench.queue.jobs()]
        assert states == ["cancelled"] * 5 + ["queued"]
