"""The queue as gauges: what of it the dispatcher shows to Prometheus."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.window import closing, is_open
from storage.job_log import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.queue_metrics import QueueMetrics
    from storage.job_queue import QueuedJob


def show_queue(metrics: QueueMetrics, jobs: Sequence[QueuedJob], now: datetime) -> None:
    """Jobs by state, how long the oldest has waited, when windows of running jobs close."""
    waiting = [
        datetime.fromisoformat(job.request.submitted_at) for job in jobs if job.state == "queued"
    ]
    metrics.queue(Counter(job.state for job in jobs), min(waiting, default=None))
    windows = {
        job.request.id: job.request.window
        for job in jobs
        if job.state in ACTIVE and job.request.window is not None
    }
    ends = {
        job_id: closing(window, now) for job_id, window in windows.items() if is_open(window, now)
    }
    metrics.windows({job_id: end for job_id, end in ends.items() if end is not None})
