"""Admits queued jobs to a Ray cluster, one dispatcher at a time; the others stand by.

    each round:  what Ray runs, what the queue says
                 settle      drivers that are gone: their jobs are queued again, or have ended
                 insist      drivers that do not heed a cancellation or pause are stopped
                 decide      windows that opened and closed, and whose turn it is
                 start       first the event, then the driver

Whoever dies between the event and the driver leaves a job that runs nowhere: the next round, or the
next dispatcher, sees that Ray does not know its driver, and queues it again. A dispatcher keeps
nothing that is not in the queue.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jobs.admission import (
    WINDOW,
    AdmissionRules,
    decide,
    num_tries,
    unlimited,
)
from jobs.heartbeat import Heartbeat
from jobs.orders import last_start
from jobs.queue_snapshot import QueueSnapshots
from pipeline.errors import ClusterError, StoreError
from storage.holder import this_process
from storage.job_log import ACTIVE, NotAllowedError
from storage.leases import LeaseLostError, LeaseOptions, Leases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobs.ray_jobs import RayJob, RayJobs
    from storage.job_log import JobEvent, JobState
    from storage.job_queue import JobQueue, QueuedJob
    from storage.job_request import JobRequest

LOG = logging.getLogger("nightreel.dispatcher")

LEASE_ID: Final = "dispatcher"
DRIVER_MODULE: Final = "jobs.queued"
LEASE: Final = LeaseOptions(ttl_s=30.0)
ROUND_S: Final = 1.0
STAND_BY_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchOptions:
    """How a dispatcher works.

    Attributes:
        queue_arguments: what a driver needs to find the queue: its URI and ``store.*`` settings.
        rules: whom to admit.
        cancel_timeout_s: a driver that has not ended so long after a cancellation is stopped.
        pause_timeout_s: and so long after it was asked to pause: a step may take minutes.
    """

    queue_arguments: tuple[str, ...]
    rules: AdmissionRules = field(default_factory=AdmissionRules)
    cancel_timeout_s: float = 30.0
    pause_timeout_s: float = 1800.0


def nobody(jobs: Sequence[QueuedJob], now: datetime) -> None:
    """Shows the queue to nobody."""
    del jobs, now


class Dispatcher:
    """One dispatcher; ``run`` until interrupted."""

    def __init__(
        self,
        queue: JobQueue,
        ray_jobs: RayJobs,
        options: DispatchOptions,
        gpu_hours: Callable[[JobRequest], float | None] = unlimited,
        show: Callable[[Sequence[QueuedJob], datetime], None] = nobody,
    ) -> None:
        """``show`` is told of the whole queue before every round."""
        self._queue, self._ray, self._options, self._show = queue, ray_jobs, options, show
        self._gpu_hours = gpu_hours
        self._snapshots = QueueSnapshots(queue)
        self._by = f"dispatcher on {this_process()}"
        self._stopped: set[str] = set()
        self._trouble = ""

    def run(self) -> None:
        """Wait for one's turn, dispatch, and again if another dispatcher took over.

        Raises:
            StoreError: the queue can't be reached.
        """
        leases = Leases(self._queue.store, LEASE)
        is_waiting = False
        while True:
            lease = leases.acquire(LEASE_ID, "")
            if lease is None:
                if not is_waiting:
                    LOG.info("another dispatcher is at work; standing by")
                is_waiting = True
                time.sleep(STAND_BY_S)
                continue
            is_waiting = False
            LOG.info("dispatching %s", self._queue.store.uri)
            with suppress(LeaseLostError), Heartbeat(lease, LEASE) as heartbeat:
                while True:
                    heartbeat.check()
                    self._try_round()
                    time.sleep(ROUND_S)

    def _try_round(self) -> None:
        """What can't be reached now may be back in the next round; running jobs need none."""
        try:
            self._round()
        except (ClusterError, StoreError) as error:
            self._tell(str(error))
        else:
            self._tell("")

    def _round(self) -> None:
        # First: the queue is shown while Ray can't be asked too.
        self._show(self._snapshots.now(), datetime.now(UTC))
        known = self._ray.all()
        jobs = self._snapshots.now()
        for job in jobs:
            if job.state in ACTIVE:
                self._look_after(job, known)
        self._admit(known)

    def _tell(self, trouble: str) -> None:
        """Say what goes wrong once, not every second."""
        if trouble and trouble != self._trouble:
            LOG.warning("%s", trouble)
        self._trouble = trouble

    # --- drivers ----------------------------------------------------------------------------------

    def _look_after(self, job: QueuedJob, known: Mapping[str, RayJob]) -> None:
        submission_id = submission_of(job)
        driver = known.get(submission_id)
        if driver is None or driver.has_ended:
            self._settle(job.request.id, submission_id, driver)
        elif submission_id not in self._stopped and self._is_overdue(job):
            self._stopped.add(submission_id)
            LOG.warning("%s does not heed its orders and is stopped", submission_id)
            self._try("stop", lambda: self._ray.stop(submission_id))

    def _settle(self, job_id: str, submission_id: str, driver: RayJob | None) -> None:
        """A driver is gone: unless it said itself what became of the job, say it now."""
        job = self._queue.job(job_id)
        if job.state not in ACTIVE or submission_of(job) != submission_id:
            return
        if driver is None:
            reason, details = "Ray does not know its driver (any more)", {}
        else:
            reason = f"its driver ended without a word: {driver.status}: {driver.message}"
            words = self._ray.last_words(submission_id)
            details = {"exit_code": driver.exit_code, "said": words, "counts": True}
        event = _EVENT_OF_THE_GONE.get(job.state, "lost")
        is_too_often = num_tries(job.events) + 1 >= self._options.rules.max_tries
        if event == "lost" and details and is_too_often:
            event = "failed"
        LOG.warning("job %s: %s: %s", job_id, event, reason)
        self._write(job_id, event, reason[:1000], **details)

    def _is_overdue(self, job: QueuedJob) -> bool:
        limits = {
            "cancelling": self._options.cancel_timeout_s,
            "pausing": self._options.pause_timeout_s,
        }
        limit_s = limits.get(job.state)
        if limit_s is None:
            return False
        asked_at = datetime.fromisoformat(job.events[-1].at)
        return (datetime.now(UTC) - asked_at).total_seconds() > limit_s

    # --- admission --------------------------------------------------------------------------------

    def _admit(self, known: Mapping[str, RayJob]) -> None:
        jobs = self._snapshots.now()
        now = datetime.now(UTC)
        decision = decide(jobs, now, self._options.rules, self._gpu_hours)
        for job_id in decision.pause:
            self._write(job_id, "pause_asked", "its window has closed", cause=WINDOW)
        for job_id in decision.resume:
            self._write(job_id, "resumed", "its window has opened", cause=WINDOW)
        by_id = {job.request.id: job for job in jobs}
        for job_id in decision.start:
            self._start(by_id[job_id], known)

    def _start(self, job: QueuedJob, known: Mapping[str, RayJob]) -> None:
        request = job.request
        number = 1 + sum(logged.event == "started" for logged in job.events)
        submission_id = _free_id(request.id, number, known)
        if not self._write(request.id, "started", "", submission_id=submission_id):
            return
        LOG.info("job %s: started as %s", request.id, submission_id)
        told = {"job": request.id, "owner": request.owner, "output": request.output}
        told |= {"manifest": request.manifest, "queue": self._queue.store.uri}
        arguments = [request.id, *self._options.queue_arguments]
        try:
            self._ray.submit(submission_id, DRIVER_MODULE, arguments, told)
        except ClusterError as error:
            LOG.warning("job %s: %s", request.id, error)
            # It may have got there all the same: then the driver finds that it is not wanted.
            self._write(request.id, "lost", str(error)[:1000], counts=True)

    def _write(self, job_id: str, event: JobEvent, reason: str, **details: object) -> bool:
        """Write an event; false if the job has moved on and it makes no sense any more."""
        try:
            self._queue.log(job_id).write(event, by=self._by, reason=reason, **details)
        except NotAllowedError as error:
            LOG.info("%s", error)
            return False
        return True

    def _try(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (ClusterError, StoreError) as error:
            LOG.warning("can't %s: %s", what, error)


_EVENT_OF_THE_GONE: Final[dict[JobState, JobEvent]] = {
    "pausing": "paused",
    "cancelling": "cancelled",
}


def submission_of(job: QueuedJob) -> str:
    """Under which id Ray has, or had, the job's newest driver; empty if it never started."""
    number = last_start(job.events)
    found = next((e for e in job.events if e.number == number), None)
    return "" if found is None else str(found.details.get("submission_id", job.request.id))


def _free_id(job_id: str, number: int, known: Mapping[str, RayJob]) -> str:
    """Ray takes an id once; a job that starts again gets a number."""
    name = job_id if number == 1 else f"{job_id}-start-{number}"
    while name in known:
        number += 1
        name = f"{job_id}-start-{number}"
    return name
