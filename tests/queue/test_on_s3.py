"""Queue and schedules in a bucket of a real S3 server, with rivals in threads."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from jobs import control, queued
from jobs.cli import app
from jobs.exit_codes import ExitCode
from jobs.scheduler import Scheduler
from jobs.submission import submit
from storage.job_log import NotAllowedError
from storage.job_queue import JobQueue
from storage.open import open_store
from storage.schedule import Schedule
from storage.schedule_runs import ScheduleRuns, compact
from storage.schedules import Schedules
from tests.due_times import START
from tests.faults.outcome import store_settings
from tests.manifests import SMALL, row, write
from tests.queue.jobs import request
from tests.s3_server import s3_bucket, s3_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3_server import S3Server

__all__ = ["s3_bucket", "s3_server"]

pytestmark = [pytest.mark.s3, pytest.mark.slow]

NUM_RACES = 4
NUM_RIVALS = 4


@pytest.fixture
def queue(s3_server: S3Server, s3_bucket: str) -> JobQueue:
    return JobQueue(open_store(f"s3://{s3_bucket}/queue", s3=s3_server.options()))


def test_rivals_submit_one_job_and_of_start_and_cancellation_one_is_first(queue: JobQueue) -> None:
    with ThreadPoolExecutor(NUM_RIVALS) as pool:
        told = list(pool.map(lambda _: submit(queue, request("a")).outcome, range(NUM_RIVALS)))
        assert "queued" in told
        assert list(queue.ids()) == ["a"]
        for number in range(NUM_RACES):
            job_id = f"j{number}"
            submit(queue, request(job_id))
            started = pool.submit(start, queue, job_id)
            cancelled = pool.submit(control.cancel, queue, job_id, by="ann")
            assert started.result() == (cancelled.result() == "cancelling")
            assert queue.job(job_id).state == cancelled.result()


def start(queue: JobQueue, job_id: str) -> bool:
    try:
        queue.log(job_id).write("started", by="dispatcher")
    except NotAllowedError:
        return False
    return True


def test_two_schedulers_submit_each_due_time_once(queue: JobQueue) -> None:
    schedule = Schedule(
        name="nightly",
        cron="0 1 * * *",
        timezone="Europe/Paris",
        manifest="s3://prompts/{date}/*.parquet",
        output="s3://films/{date}",
        owner="ada",
        catch_up="all",
        since=START.isoformat(),
        written_at=START.isoformat(),
        written_by="test",
    )
    Schedules(queue.store).revise("nightly", lambda _: schedule)
    end = START + timedelta(days=3)

    def schedule_all(name: str) -> int:
        mine = JobQueue(queue.store)
        scheduler = Scheduler(mine, clock=lambda: end, by=name, has_manifest=lambda _: True)
        return sum(1 for _ in scheduler.tick())

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(schedule_all, ("one", "two"))) >= 3
    times = ScheduleRuns(queue.store, "nightly").times()
    due = [START + timedelta(days=n) for n in range(4)]
    assert {moment[:8] for moment in times} < {compact(moment)[:8] for moment in due}
    assert len(times) == 3
    assert list(queue.ids()) == [f"nightly-{moment}" for moment in times]


def test_a_job_s_whole_life_in_a_bucket(
    s3_server: S3Server, s3_bucket: str, queue: JobQueue, tmp_path: Path
) -> None:
    """Submitted, driven, listed and read by the commands; no row of it can be rendered."""
    manifest = write(tmp_path / "rows.parquet", [row("odd", width=50), row("void", prompt="")])
    uri, store = f"s3://{s3_bucket}/queue", store_settings(s3_server.options())

    def nightreel(name: str, *words: str) -> str:
        done = CliRunner().invoke(app, [name, *words, "--queue", uri, *store])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    out = ("--output", f"s3://{s3_bucket}/out")
    job_id = nightreel("submit", str(manifest), *out, *SMALL)
    assert nightreel("submit", str(manifest), *out, *SMALL) == job_id
    assert json.loads(nightreel("pause", job_id, "--json"))["state"] == "paused"
    assert json.loads(nightreel("resume", job_id, "--json"))["state"] == "queued"
    assert start(queue, job_id)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert queued.main([job_id, "--queue", uri, *store]) == ExitCode.SOME_FAILED
    finally:
        signal.signal(signal.SIGTERM, before)
    (shown,) = json.loads(nightreel("list", "--json"))["jobs"]
    assert (shown["state"], shown["exit_code"]) == ("finished", 3)
    assert shown["progress"]["rejected"] == 2
    assert "row 1" in nightreel("logs", job_id)
    films = open_store(f"s3://{s3_bucket}/out", s3=s3_server.options())
    assert sorted(films.list_keys("")) == ["index.html", "rejected.parquet", "results.parquet"]
