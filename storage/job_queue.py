"""The queue: jobs that were asked for, under a URI that all who submit and dispatch share.

    jobs/<id>/request.json          what was asked, create-only
    jobs/<id>/events/<number>.json  what became of it
    leases/dispatcher/              who admits jobs now
    schedules/<name>/               what is to be submitted every night
    schedule-runs/<name>/<time>/    what was decided of each time at which it was due

What a job renders lies under its own output URI, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import ObjectExistsError, ObjectMissingError, UserError
from storage.job_log import JobLog, JobState, LoggedEvent, state_after
from storage.job_request import JobRequest, from_json, to_json
from storage.keys import is_safe_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.stored import StoreWithListing

JOBS: Final = "jobs/"
_REQUEST: Final = "/request.json"


class NoSuchJobError(UserError):
    """The queue knows no such job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A request and all that became of it."""

    request: JobRequest
    events: tuple[LoggedEvent, ...]

    @property
    def state(self) -> JobState:
        """What the events lead to."""
        return state_after(list(self.events))


class JobQueue:
    """Jobs under one URI. Any number of processes may share it."""

    def __init__(self, store: StoreWithListing) -> None:
        self._store = store

    @property
    def store(self) -> StoreWithListing:
        """Where it lies."""
        return self._store

    def submit(self, request: JobRequest) -> bool:
        """Put a job in the queue; false, and nothing done, if one of this id is there already.

        Raises:
            StoreError: the store refused.
        """
        key = f"{JOBS}{request.id}{_REQUEST}"
        try:
            self._store.put_bytes(key, to_json(request), content_type="application/json")
        except ObjectExistsError:
            return False
        return True

    def log(self, job_id: str) -> JobLog:
        """The events of a job."""
        return JobLog(self._store, f"{JOBS}{job_id}/events/", job_id)

    def job(self, job_id: str) -> QueuedJob:
        """One job.

        Raises:
            NoSuchJobError: there is none of this id.
            StoreError: the store refused, or the record is damaged.
        """
        key = f"{JOBS}{job_id}{_REQUEST}"
        try:
            data = self._store.get_bytes(key) if is_safe_id(job_id) else None
        except ObjectMissingError:
            data = None
        if data is None:
            raise NoSuchJobError(f"{self._store.uri}: no job {job_id!r}")
        request = from_json(data, f"{self._store.uri}/{key}")
        return QueuedJob(request=request, events=tuple(self.log(job_id).events()))

    def ids(self) -> Iterator[str]:
        """Ids of all jobs, in alphabetical order."""
        for key in self._store.list_keys(JOBS):
            if key.endswith(_REQUEST):
                yield key.removeprefix(JOBS).removesuffix(_REQUEST)

    def jobs(self) -> Iterator[QueuedJob]:
        """All jobs, in alphabetical order of their ids."""
        for job_id in self.ids():
            yield self.job(job_id)
