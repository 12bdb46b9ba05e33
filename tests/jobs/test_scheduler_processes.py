"""Two scheduler processes at one queue with a fast clock, killed at random moments."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobs.scheduler import Scheduler
from storage.job_queue import JobQueue
from storage.open import open_store
from storage.schedule import Schedule
from storage.schedule_runs import ScheduleRuns, compact
from storage.schedules import Schedules
from tests.due_times import START
from tests.jobs import fast_scheduler

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

# A second of the clock on the wall is two thirds of an hour: something is due every 0.1 s.
SPEED = 2400.0
EVERY = {"beside": 4, "instead": 12}
RUN_S, NUM_SCHEDULERS = 6.0, 2


@pytest.mark.slow
def test_every_due_time_is_submitted_once_whoever_dies(tmp_path: Path) -> None:
    queue = JobQueue(open_store(str(tmp_path)))
    for name, concurrency in (("beside", "Allow"), ("instead", "Replace")):
        schedule = Schedule(
            name=name,
            cron=f"*/{EVERY[name]} * * * *",
            timezone="Europe/Paris",
            manifest="{date}.csv",
            output="{date}",
            owner="ada",
            catch_up="all",
            concurrency=concurrency,  # type: ignore[arg-type]
            since=START.isoformat(),
            written_at=START.isoformat(),
            written_by="test",
        )
        Schedules(queue.store).revise(name, lambda _, made=schedule: made)  # type: ignore[misc]
    # Processes of their own, each forked from a small server that has imported what they need.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([fast_scheduler.__name__])
    epoch_s, chance, num_kills = time.time(), random.Random(0), 0

    def start() -> BaseProcess:
        given = (str(tmp_path), epoch_s, SPEED)
        process = context.Process(target=fast_scheduler.work, args=given, daemon=True)
        process.start()
        return process

    processes = [start() for _ in range(NUM_SCHEDULERS)]
    try:
        while time.time() < epoch_s + RUN_S:
            time.sleep(chance.uniform(0.05, 0.7))
            victim = chance.randrange(NUM_SCHEDULERS)
            processes[victim].kill()
            processes[victim].join()
            processes[victim] = start()
            num_kills += 1
    finally:
        for process in processes:
            process.kill()
            process.join()
    end = START + timedelta(seconds=(time.time() - epoch_s) * SPEED)
    last = Scheduler(queue, clock=lambda: end, by="last", has_manifest=lambda _: True)
    settled_last = len(list(last.tick()))
    deciders: Counter[str] = Counter()
    for name, minutes in EVERY.items():
        runs = ScheduleRuns(queue.store, name)
        times = runs.times()
        interval = timedelta(minutes=minutes)
        due = [START + n * interval for n in range(1, (end - START) // interval + 1)]
        assert times == [compact(moment) for moment in due]
        assert all(runs.is_carried_out(at) for at in times)
        expected = [f"{name}-{at}" for at in times]
        assert [job_id for job_id in queue.ids() if job_id.startswith(name)] == expected
        deciders.update(run.decided_by for at in times if (run := runs.read(at)) is not None)
        states = [queue.job(job_id).state for job_id in expected]
        if name == "instead":
            assert states == ["cancelled"] * (len(times) - 1) + ["queued"]
        else:
            assert set(states) == {"queued"}
    assert num_kills >= 5
    # Decided, nearly all of it, by many processes that were killed; not by the one at the end.
    assert len(deciders) >= 5
    assert settled_last < sum(deciders.values()) / 2, (num_kills, settled_last, deciders)
