"""What a person may do to a queued job: cancel, pause, resume, try again; by events alone.

Whoever comes second sees what the first one did: a cancellation and a start at the same moment are
two events under one number, which one of them gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs.admission import is_paused_by_window
from jobs.cancelled_videos import CancelledVideos
from jobs.store_settings import store_options_of
from pipeline.errors import StoreError, UserError
from storage.job_log import ENDED, NotAllowedError
from storage.job_queue import NoSuchJobError
from storage.manifest import Manifest
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.job_log import JobEvent, JobState
    from storage.job_queue import JobQueue, QueuedJob
    from storage.job_request import JobRequest

_MAX_RACES: Final = 20


def cancel(queue: JobQueue, job_id: str, *, by: str, reason: str = "") -> JobState:
    """Cancel a job, started or not; again is no harm. Gives the state that it is in then.

    Raises:
        NotAllowedError: it has ended otherwise.
        StoreError: the store refused.
    """
    return _steer(queue, job_id, _CANCEL, by, reason)


def pause(queue: JobQueue, job_id: str, *, by: str, reason: str = "") -> JobState:
    """Pause a job until a person resumes it, even if the end of its window had paused it.

    Raises:
        NotAllowedError: it has ended, or is being cancelled.
        StoreError: the store refused.
    """
    job = queue.job(job_id)
    if job.state == "paused" and is_paused_by_window(job):
        queue.log(job_id).write("resumed", by=by, reason="to be paused by a person")
    return _steer(queue, job_id, _PAUSE, by, reason)


def resume(queue: JobQueue, job_id: str, *, by: str, reason: str = "") -> JobState:
    """Let a paused job go on; again is no harm.

    Raises:
        NotAllowedError: it has ended, or is being cancelled.
        StoreError: the store refused.
    """
    return _steer(queue, job_id, _RESUME, by, reason)


def try_again(queue: JobQueue, job_id: str, *, by: str) -> JobState:
    """Queue a job anew that has ended; one that has not is left as it is."""
    job = queue.job(job_id)
    if job.state in ENDED:
        queue.log(job_id).write("requeued", by=by, reason="retry")
    return queue.log(job_id).state()


def cancel_video(queue: JobQueue, job: QueuedJob, video_id: str, *, by: str) -> bool:
    """Leave a video of a job out; false if that was asked before.

    Raises:
        NotAllowedError: the job has ended.
        StoreError: the store refused.
    """
    if job.state in ENDED:
        raise NotAllowedError(f"job '{job.request.id}' is {job.state}: nothing of it is rendered")
    return CancelledVideos(queue.store, job.request.id).add(video_id, by=by)


def job_with_video(queue: JobQueue, video_id: str, job_id: str | None = None) -> QueuedJob:
    """The job, of those that have not ended, that has a video in its manifest.

    Args:
        queue: the queue.
        video_id: the video's id.
        job_id: where to look; ``None``: in all.

    Raises:
        NoSuchJobError: none has it.
        UserError: several have it.
    """
    jobs = [queue.job(job_id)] if job_id else [j for j in queue.jobs() if j.state not in ENDED]
    found = [job for job in jobs if has_video(job.request, video_id)]
    if not found:
        where = f"in job '{job_id}'" if job_id else "that has not ended and no video of such a one"
        raise NoSuchJobError(f"{queue.store.uri}: {video_id!r} is no job {where}")
    if len(found) > 1:
        names = ", ".join(job.request.id for job in found)
        raise UserError(f"video {video_id!r} is in several jobs; say which with --job: {names}")
    return found[0]


def has_video(request: JobRequest, video_id: str) -> bool:
    """Whether a manifest has a good row of this id; one that can't be read has none."""
    try:
        rows = Manifest.open(request.manifest, s3=store_options_of(request.settings)).rows()
        return any(not isinstance(row, Rejection) and row.spec.id == video_id for row in rows)
    except UserError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What somebody wants of a job.

    Attributes:
        verb: in a word.
        events: which event it is in which state.
        there: the states in which it is fulfilled.
    """

    verb: str
    events: Mapping[JobState, JobEvent]
    there: frozenset[JobState]


_CANCEL: Final = _Wish(
    verb="cancel",
    events={
        "queued": "cancelled",
        "paused": "cancelled",
        "running": "cancel_asked",
        "pausing": "cancel_asked",
    },
    there=frozenset({"cancelling", "cancelled"}),
)
_PAUSE: Final = _Wish(
    verb="pause",
    events={"queued": "paused", "running": "pause_asked"},
    there=frozenset({"pausing", "paused"}),
)
_RESUME: Final = _Wish(
    verb="resume",
    events={"paused": "resumed", "pausing": "resumed"},
    there=frozenset({"queued", "running"}),
)


def _steer(queue: JobQueue, job_id: str, wish: _Wish, by: str, reason: str) -> JobState:
    """Write the event that fits the state, however often the state moves on meanwhile."""
    for _ in range(_MAX_RACES):
        state = queue.job(job_id).state
        if state in wish.there:
            return state
        event = wish.events.get(state)
        if event is None:
            raise NotAllowedError(f"job '{job_id}' is {state}: too late to {wish.verb} it")
        try:
            queue.log(job_id).write(event, by=by, reason=reason)
        except NotAllowedError:
            continue
        return queue.log(job_id).state()
    raise StoreError(f"job '{job_id}': its state changed {_MAX_RACES} times in a row")
