"""A dispatcher as a Ray job, started by whoever submits and finds none at work."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from jobs.dispatcher import LEASE_ID
from pipeline.errors import ClusterError
from storage.leases import newest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.ray_jobs import RayJobs
    from storage.job_queue import JobQueue

MODULE: Final = "jobs.cli"
# Without a sign of life for so long, by two clocks, another one is started; if the first lives
# after all, the second stands by.
SILENT_S: Final = 120.0


def is_dispatched(queue: JobQueue) -> bool:
    """Whether a dispatcher gave a sign of life just now."""
    _, record = newest_of(queue.store, LEASE_ID)
    if record is None or record.is_free():
        return False
    return datetime.now(UTC) - record.renewed_at < timedelta(seconds=SILENT_S)


def dispatcher_id(queue: JobQueue) -> str:
    """The submission id of a queue's dispatcher: two who submit at once start one."""
    digest = hashlib.blake2b(queue.store.uri.encode(), digest_size=4).hexdigest()
    return f"nightreel-dispatcher-{digest}"


def start_dispatcher(queue: JobQueue, ray_jobs: RayJobs, arguments: Sequence[str]) -> str:
    """Start a dispatcher on the cluster unless one runs there; gives its submission id.

    Args:
        queue: the queue.
        ray_jobs: the cluster.
        arguments: of ``nightreel dispatch``.

    Raises:
        ClusterError: Ray refused.
    """
    submission_id = dispatcher_id(queue)
    known = ray_jobs.all().get(submission_id)
    if known is not None and not known.has_ended:
        return submission_id
    if known is not None:
        ray_jobs.forget(submission_id)
    told = {"queue": queue.store.uri}
    words = ["--verbose", "dispatch", *arguments]
    try:
        ray_jobs.submit(submission_id, MODULE, words, told)
    except ClusterError:
        # Somebody else may have been quicker.
        known = ray_jobs.all().get(submission_id)
        if known is None or known.has_ended:
            raise
    return submission_id
