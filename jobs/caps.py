"""What a queued job will take, for the cap that keeps it from being admitted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.estimate_job import estimate_request
from pipeline.errors import NightreelError

if TYPE_CHECKING:
    from storage.job_request import JobRequest

LOG = logging.getLogger("nightreel.caps")


class EstimatedHours:
    """Estimates each job once; a job that can't be estimated is held by no cap.

    Args:
        num_gpus: how many a job gets, or CPU cores where there are none.
        quiet: say nothing of jobs that can't be estimated.
    """

    def __init__(self, num_gpus: int, *, quiet: bool = False) -> None:
        self._num_gpus, self._quiet = num_gpus, quiet
        self._known: dict[str, float | None] = {}

    def __call__(self, request: JobRequest) -> float | None:
        """GPU-hours; ``None`` if nothing is known of how long such videos take."""
        if request.id not in self._known:
            self._known[request.id] = self._estimated(request)
        return self._known[request.id]

    def _estimated(self, request: JobRequest) -> float | None:
        try:
            return estimate_request(request, num_gpus=self._num_gpus).gpu_hours
        except NightreelError as error:
            level = logging.DEBUG if self._quiet else logging.WARNING
            LOG.log(level, "job %s: no estimate: %s: %s", request.id, type(error).__name__, error)
            return None
