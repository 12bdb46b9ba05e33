"""What a dispatcher shows of the queue, and what it knows of a job's cost before it admits it."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import TYPE_CHECKING

from jobs.caps import EstimatedHours
from jobs.queue_gauges import show_queue
from jobs.queue_metrics import QueueMetrics
from jobs.queue_view import views
from storage.job_queue import JobQueue
from storage.job_request import NightWindow
from storage.local import LocalStore
from tests.manifests import SMALL, row, write
from tests.queue.jobs import NOON, job, request

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OPEN = NightWindow(not_before=time(11), not_after=time(13), timezone="UTC")
SHUT = NightWindow(not_before=time(1), not_after=time(7), timezone="UTC")


def shown(metrics: QueueMetrics) -> dict[tuple[str, ...], float]:
    found = {}
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_states_the_longest_wait_and_the_ends_of_open_windows_are_shown() -> None:
    metrics = QueueMetrics()
    later = (NOON + timedelta(minutes=5)).isoformat()
    jobs = [
        job("first"),
        job("second", submitted_at=later),
        job("night", ("started", 1.0), window=OPEN),
        job("late", ("started", 1.0), ("pause_asked", 2.0), window=SHUT),
    ]
    show_queue(metrics, jobs, NOON + timedelta(minutes=30))
    assert shown(metrics) == {
        ("nightreel_queue_jobs", "queued"): 2,
        ("nightreel_queue_jobs", "running"): 1,
        ("nightreel_queue_jobs", "pausing"): 1,
        ("nightreel_queue_oldest_timestamp_seconds", "queued"): NOON.timestamp(),
        ("nightreel_window_end_timestamp_seconds", "night"): NOON.timestamp() + 3600,
    }
    show_queue(metrics, [], NOON)
    assert shown(metrics) == {}


def test_a_job_waits_from_when_it_could_have_started() -> None:
    """Waiting for the night is no wait, or an alert would go off every afternoon."""
    metrics, oldest = QueueMetrics(), ("nightreel_queue_oldest_timestamp_seconds", "queued")
    show_queue(metrics, [job("tonight", window=SHUT)], NOON)
    assert shown(metrics) == {("nightreel_queue_jobs", "queued"): 1}
    # Once its window is open it has waited since then, however long ago it was submitted.
    long_ago = (NOON - timedelta(days=3)).isoformat()
    show_queue(metrics, [job("tonight", window=OPEN, submitted_at=long_ago)], NOON)
    assert shown(metrics)[oldest] == (NOON - timedelta(hours=1)).timestamp()
    resumed = job("late", ("started", 0), ("pause_asked", 9), ("paused", 10), ("resumed", 900))
    show_queue(metrics, [resumed], NOON + timedelta(hours=1))
    assert shown(metrics)[oldest] == (NOON + timedelta(seconds=900)).timestamp()


def test_a_job_is_estimated_once_and_one_that_can_t_be_is_held_by_no_cap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hours = EstimatedHours(1)
    output = str(tmp_path / "out")
    gone = request("gone", manifest=str(tmp_path / "gone.parquet"), output=output)
    assert hours(gone) is hours(gone) is None
    assert sum("job gone: no estimate" in record.message for record in caplog.records) == 1
    manifest = write(tmp_path / "m.parquet", [row("a")])
    unknown = request("a", manifest=str(manifest), output=output, settings=SMALL)
    assert hours(unknown) is None
    embedded = request("b", manifest=str(manifest), output=output)
    known = hours(embedded)
    assert known is not None
    assert 0 < known < 1
    # Whoever looks at the queue is told which cap keeps a job from starting.
    queue = JobQueue(LocalStore(tmp_path / "queue"))
    for each in (unknown, embedded):
        queue.submit(replace(each, max_gpu_hours=known / 2))
    reasons = {shown.job.request.id: shown.reason for shown in views(queue, queue.jobs(), hours)}
    cap = f"estimated at {known:.3g} GPU-hours, above its cap of {known / 2:g}"
    assert reasons == {"a": "", "b": cap}
