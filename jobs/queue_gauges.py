"""The queue as gauges: what of it the dispatcher shows to Prometheus."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.window import closing, is_open, opened_at
from storage.job_log import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.queue_metrics import QueueMetrics
    from storage.job_queue import QueuedJob


def show_queue(metrics: QueueMetrics, jobs: Sequence[QueuedJob], now: datetime) -> None:
    """Jobs by state, since when the oldest waits, when windows of running jobs close."""
    waiting = [_waits_since(job, now) for job in jobs if job.state == "queued"]
    metrics.queue(Counter(job.state for job in jobs), min(filter(None, waiting), default=None))
    windows = {
        job.request.id: job.request.window
        for job in jobs
        if job.state in ACTIVE and job.request.window is not None
    }
    ends = {
        job_id: closing(window, now) for job_id, window in windows.items() if is_open(window, now)
    }
    metrics.windows({job_id: end for job_id, end in ends.items() if end is not None})


def _waits_since(job: QueuedJob, now: datetime) -> datetime | None:
    """Since when a queued job could have been started; ``None`` while its window is shut.

    Waiting for the night is what was asked for, and no alert's business.
    """
    request = job.request
    if request.window is not None and not is_open(request.window, now):
        return None
    since = [request.submitted_at, *(logged.at for logged in job.events[-1:])]
    opened = None if request.window is None else opened_at(request.window, now)
    return max([datetime.fromisoformat(at) for at in since] + ([opened] if opened else []))
