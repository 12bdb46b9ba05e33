"""What a driver tells Prometheus: rows by state, moments, names; no Ray needed to count them."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobs.job_name import job_name
from jobs.metrics import VIDEO_STATES, JobMetrics
from jobs.queue_metrics import LOOPBACK, QueueMetrics
from pipeline.errors import UserError
from tests.jobs import story

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_rows_by_state_sum_up_to_the_manifest_s_at_every_moment() -> None:
    clock = story.Clock()
    metrics = JobMetrics("job", clock, clock)
    metrics.job_started(5)
    seen = []
    for tell in (
        lambda: metrics.row_rejected(story.REJECTION),
        lambda: metrics.video_skipped(story.rendered("old")),
        lambda: story.sample(metrics, clock, "fox", 3, 2.0),
        lambda: metrics.video_finished(story.rendered("fox"), 47.0),
        lambda: story.sample(metrics, clock, "storm", 3, 2.0),
        lambda: metrics.video_finished(story.failed("storm"), 7.0),
    ):
        tell()
        seen.append(tuple(metrics.by_state[state] for state in VIDEO_STATES))
    metrics._ended.set()
    # waiting, rendering, rendered, skipped, failed, rejected
    assert seen == [
        (4, 0, 0, 0, 0, 1),
        (3, 0, 0, 1, 0, 1),
        (2, 1, 0, 1, 0, 1),
        (2, 0, 1, 1, 0, 1),
        (1, 1, 1, 1, 0, 1),
        (1, 0, 1, 1, 1, 1),
    ]


def test_the_end_is_a_moment_at_the_pace_so_far() -> None:
    clock = story.Clock()
    metrics = JobMetrics("job", clock, clock)
    metrics.job_started(2)
    story.sample(metrics, clock, "fox", 10, 2.0)
    first = metrics._figures
    assert first.progress_at_s == clock.now_s
    metrics._ended.set()
    # Half the steps of the first of two films, so 0.85 / 2 of one of two, in 20 s from 1001 on.
    assert first.end_at_s == pytest.approx(1001 + 20 * 2 / 0.425)


def test_a_job_is_called_what_ray_s_jobs_api_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert job_name() == "render"
    given = {"metadata": {"job_submission_id": "night-1234abcd"}}
    for value, name in ((json.dumps(given), "night-1234abcd"), ("{}", "render"), ("[1", "render")):
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", value)
        assert job_name() == name


@pytest.fixture
def queue() -> Iterator[QueueMetrics]:
    served = QueueMetrics().serve(0)
    yield served
    served.close()


def read(queue: QueueMetrics) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{queue.port}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_the_queue_is_shown_as_it_is_now_and_nothing_of_what_was(queue: QueueMetrics) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    queue.queue({"queued": 2, "running": 1}, moment)
    queue.windows({"a": moment, "b": moment})
    queue.schedules({"nightly": 90.0})
    assert read(queue) == {
        'nightreel_queue_jobs{state="queued"}': 2,
        'nightreel_queue_jobs{state="running"}': 1,
        'nightreel_queue_oldest_timestamp_seconds{state="queued"}': moment.timestamp(),
        'nightreel_window_end_timestamp_seconds{job_id="a"}': moment.timestamp(),
        'nightreel_window_end_timestamp_seconds{job_id="b"}': moment.timestamp(),
        'nightreel_schedule_lag_seconds{schedule="nightly"}': 90,
    }
    queue.queue({"running": 3}, None)
    queue.windows({"b": moment})
    queue.schedules({})
    assert read(queue) == {
        'nightreel_queue_jobs{state="running"}': 3,
        'nightreel_window_end_timestamp_seconds{job_id="b"}': moment.timestamp(),
    }


def test_a_port_that_is_taken_is_named(queue: QueueMetrics) -> None:
    with pytest.raises(UserError, match=f"can't listen at 127.0.0.1:{queue.port}"):
        QueueMetrics().serve(queue.port)
