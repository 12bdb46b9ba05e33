"""The whole queue, read again and again at the price of one listing and what is new in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.job_queue import JOBS
from storage.keys import number_of

if TYPE_CHECKING:
    from storage.job_queue import JobQueue, QueuedJob


class QueueSnapshots:
    """Reads a job only if an event was written since it was last read."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._known: dict[str, tuple[int, QueuedJob]] = {}

    def now(self) -> list[QueuedJob]:
        """All jobs, in alphabetical order of their ids.

        Raises:
            StoreError: the store refused, or a record is damaged.
        """
        newest: dict[str, int] = {}
        for key in self._queue.store.list_keys(JOBS):
            job_id, _, name = key.removeprefix(JOBS).partition("/")
            if name == "request.json":
                newest.setdefault(job_id, 0)
            elif name.startswith("events/"):
                newest[job_id] = max(newest.get(job_id, 0), number_of(key) or 0)
        found = {}
        for job_id, number in newest.items():
            seen = self._known.get(job_id)
            found[job_id] = (
                seen if seen and seen[0] == number else (number, self._queue.job(job_id))
            )
        self._known = found
        return [job for _, job in found.values()]
