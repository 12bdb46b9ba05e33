"""A schedule's earlier runs: which have not ended, and how to have them cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.job_log import ENDED, JobLog, JobState, NotAllowedError
from storage.job_queue import JobQueue, NoSuchJobError

if TYPE_CHECKING:
    from storage.schedule_runs import ScheduleRuns

# An older run that has not ended is not looked for: years of runs would be read every night.
MAX_LOOKED_AT: Final = 20
_MAX_TRIES: Final = 10


def active_runs(queue: JobQueue, runs: ScheduleRuns, before: str) -> tuple[str, ...]:
    """Ids of the last runs before a time that have not ended, oldest first; those by hand too.

    Args:
        queue: which knows the jobs' states.
        runs: of the schedule.
        before: a time as it stands in a run's key.

    Raises:
        StoreError: the store refused.
    """
    earlier = [at for at in runs.times() if at < before]
    found: list[str] = []
    num_looked_at = 0
    for at in reversed(earlier):
        run = runs.read(at)
        if run is None or run.request is None:
            continue
        state = state_of(queue, run.request.id)
        if state is not None and state not in ENDED:
            found.append(run.request.id)
        num_looked_at += 1
        if num_looked_at == MAX_LOOKED_AT:
            break
    return tuple(reversed(found))


def state_of(queue: JobQueue, job_id: str) -> JobState | None:
    """A job's state, ``None`` if the queue has no such job."""
    try:
        return queue.job(job_id).state
    except NoSuchJobError:
        return None


def cancel(log: JobLog, *, by: str, reason: str) -> None:
    """Cancel a job that no driver has, ask the driver of one that is at work, else do nothing.

    Raises:
        StoreError: the store refused.
    """
    for _ in range(_MAX_TRIES):
        state = log.state()
        if state in ENDED or state == "cancelling":
            return
        try:
            is_at_work = state in {"running", "pausing"}
            log.write("cancel_asked" if is_at_work else "cancelled", by=by, reason=reason)
        except NotAllowedError:
            continue  # its state has changed since
        return
