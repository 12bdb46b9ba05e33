"""Submits what schedules say is due. Any number of schedulers may share a queue.

For each due time, in ascending order:

    decide      submit or skip, written create-only under the time: the first writer has decided
    carry out   ask the runs that it replaces to cancel, submit under the id ``<schedule>-<time>``
    note        that it was carried out

Every scheduler carries out every decision that it comes across, its own or another's, before it
goes on to the next time; each step done twice is the same as done once. So a scheduler may die
between any two writes, and only the last time of which something was decided can be half done:
there a new one begins.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from jobs.cron import nominal_times
from jobs.earlier_runs import active_runs, cancel
from jobs.schedule_policy import Skip, request_for, skipped
from pipeline.errors import NightreelError
from storage.schedule_runs import MANUAL, ScheduledRun, ScheduleRuns, compact, moment_of
from storage.schedules import Schedules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from storage.job_queue import JobQueue
    from storage.job_request import JobRequest
    from storage.schedule import Schedule

LOG = logging.getLogger("nightreel.scheduler")

# After a long outage older due times than these share one record, unless all are caught up.
MAX_RECORDED: Final = 100


@dataclass(slots=True)
class _Place:
    """How far a scheduler is with one schedule.

    Attributes:
        revisions: of the schedule, oldest first.
        settled: all due times up to this are settled; ``None`` until the store was asked.
    """

    revisions: tuple[Schedule, ...] = ()
    settled: datetime | None = None


class Scheduler:
    """One of any number of schedulers of a queue.

    Args:
        queue: where schedules lie and jobs are submitted.
        clock: tells the time, aware.
        by: who this is, in records.
        has_manifest: whether a request's manifest is there; may raise ``NightreelError``, and then
            is asked again later.
        settle_s: see ``ScheduleRuns``.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        clock: Callable[[], datetime],
        by: str,
        has_manifest: Callable[[JobRequest], bool],
        settle_s: float = 0.5,
    ) -> None:
        self._queue, self._clock, self._by = queue, clock, by
        self._has_manifest, self._settle_s = has_manifest, settle_s
        self._schedules = Schedules(queue.store)
        self._places: dict[str, _Place] = {}
        self.problems: dict[str, NightreelError] = {}

    def tick(self) -> Iterator[ScheduledRun]:
        """Settle all that is due now; what was settled, one by one.

        One schedule that can't be settled doesn't keep the others: see ``problems``.

        Raises:
            StoreError: the queue can't be reached.
        """
        self.problems = {}
        for name in self._schedules.names():
            try:
                yield from self._settle(name)
            except NightreelError as error:
                LOG.warning("schedule %s: %s: %s", name, type(error).__name__, error)
                self.problems[name] = error

    def next_due(self) -> datetime | None:
        """When something is due next, in UTC, by what the last ``tick`` saw."""
        times = []
        for place in self._places.values():
            if place.settled is None or place.revisions[-1].state == "removed":
                continue
            schedule = place.revisions[-1]
            after = max(place.settled, schedule.since_moment)
            times.append(next(nominal_times(schedule.cron, schedule.timezone, after), None))
        return min((time for time in times if time is not None), default=None)

    def lags_s(self) -> dict[str, float]:
        """How late each schedule is: the age of its oldest time that is due and not settled."""
        now, lags = self._clock(), {}
        for name, place in self._places.items():
            if place.settled is None or place.revisions[-1].state == "removed":
                continue
            schedule = place.revisions[-1]
            after = max(place.settled, schedule.since_moment)
            due = next(nominal_times(schedule.cron, schedule.timezone, after), now)
            lags[name] = max(0.0, (now - due).total_seconds())
        return lags

    def _settle(self, name: str) -> Iterator[ScheduledRun]:
        place = self._places.setdefault(name, _Place())
        place.revisions = self._schedules.revisions(name, place.revisions)
        runs = ScheduleRuns(self._queue.store, name, self._settle_s)
        if place.settled is None:
            yield from self._taken_up(runs, place)
        schedule = place.revisions[-1]
        if schedule.state == "removed":
            return
        for nominal, is_newest, num_times in self._due(place):
            run = runs.read(compact(nominal))
            if run is None:
                proposed = self._proposed(runs, place, nominal, is_newest=is_newest)
                run = runs.decide(replace(proposed, num_times=num_times))
            self._carry_out(runs, run)
            place.settled = nominal
            yield run

    def _taken_up(self, runs: ScheduleRuns, place: _Place) -> Iterator[ScheduledRun]:
        """Begin where the schedulers before stopped, and finish what one died over."""
        times = [at for at in runs.times() if not at.endswith(MANUAL)]
        if not times:
            place.settled = place.revisions[0].since_moment
            return
        run = runs.read(times[-1])
        if run is not None and run.outcome == "submitted" and not runs.is_carried_out(run.time):
            self._carry_out(runs, run)
            yield run
        place.settled = moment_of(times[-1])

    def _due(self, place: _Place) -> Iterator[tuple[datetime, bool, int]]:
        """Due times, ascending: whether it is the newest, and for how many it stands."""
        schedule, now = place.revisions[-1], self._clock()
        assert place.settled is not None
        after = max(place.settled, schedule.since_moment)
        times = takewhile(
            lambda time: time <= now, nominal_times(schedule.cron, schedule.timezone, after)
        )
        if schedule.catch_up == "all":
            yield from ((time, False, 1) for time in times)
            return
        kept: deque[datetime] = deque(maxlen=MAX_RECORDED)
        num_times = 0
        for time in times:
            kept.append(time)
            num_times += 1
        num_older = num_times - len(kept)
        for number, time in enumerate(kept, 1):
            yield time, number == len(kept), 1 + num_older if number == 1 else 1

    def _proposed(
        self, runs: ScheduleRuns, place: _Place, nominal: datetime, *, is_newest: bool
    ) -> ScheduledRun:
        """What this scheduler would decide."""
        schedule, now = place.revisions[-1], self._clock()
        run = ScheduledRun(
            time=compact(nominal),
            outcome="submitted",
            decided_at=now.isoformat(timespec="milliseconds"),
            decided_by=self._by,
            revision=len(place.revisions),
        )
        request = request_for(schedule, nominal, now=now, by_hand=False)
        found = skipped(place.revisions, nominal, now=now, is_newest=is_newest)
        if found is None and not self._has_manifest(request):
            found = Skip("no manifest", f"nothing is there: {request.manifest}")
        if found is None and schedule.concurrency != "Allow":
            active = active_runs(self._queue, runs, compact(nominal))
            if active and schedule.concurrency == "Forbid":
                found = Skip("forbid", f"not ended yet: {', '.join(active)}")
            run = replace(run, replaces=active)
        if found is not None:
            return replace(
                run, outcome="skipped", replaces=(), reason=found.reason, message=found.message
            )
        return replace(run, request=request)

    def _carry_out(self, runs: ScheduleRuns, run: ScheduledRun) -> None:
        """Do what was decided; no harm if it was done already, in part or whole."""
        if run.request is None or runs.is_carried_out(run.time):
            return
        for job_id in run.replaces:
            cancel(self._queue.log(job_id), by=self._by, reason=f"replaced by {run.request.id}")
        self._queue.submit(run.request)
        runs.carried_out(run.time, self._by, self._clock())
