"""What a person does with schedules: add, suspend, resume, remove, run now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from jobs import placeholders
from jobs.cron import check_cron, nominal_times
from jobs.schedule_policy import request_for
from jobs.wall_clock import zone_of
from pipeline.errors import ConfigError, UserError
from storage.location import parse_location
from storage.schedule_runs import MANUAL, ScheduledRun, ScheduleRuns, compact
from storage.schedules import NoSuchScheduleError, Schedules

if TYPE_CHECKING:
    from datetime import datetime

    from storage.job_queue import JobQueue
    from storage.schedule import Schedule, ScheduleState

_TIMES_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class ScheduleOrders:
    """Changes to the schedules of a queue, in one person's name, at one moment."""

    queue: JobQueue
    by: str
    now: datetime

    def add(self, schedule: Schedule, *, update: bool) -> Schedule:
        """Add a schedule, or with ``update`` change the one of this name.

        A changed time of day holds from now on: what was due before by the old one is not run.

        Raises:
            UserError: there is one of this name, or there is something wrong with it.
            StoreError: the store refused.
        """
        checked = self._checked(schedule)

        def change(in_force: Schedule | None) -> Schedule:
            if in_force is None:
                return checked
            if not update:
                raise UserError(f"schedule {checked.name!r} exists; change it with --update")
            same_times = (in_force.cron, in_force.timezone) == (checked.cron, checked.timezone)
            since = in_force.since if same_times else checked.since
            return replace(checked, since=since, state=in_force.state)

        return self._schedules.revise(schedule.name, change)

    def set_state(self, name: str, state: ScheduleState) -> Schedule:
        """Suspend, resume or remove a schedule.

        Raises:
            NoSuchScheduleError: there is none of this name.
            StoreError: the store refused.
        """

        def change(in_force: Schedule | None) -> Schedule:
            if in_force is None:
                raise NoSuchScheduleError(f"{self.queue.store.uri}: no schedule {name!r}")
            if in_force.state == state:
                return in_force
            return self._signed(replace(in_force, state=state))

        return self._schedules.revise(name, change)

    def run_now(self, name: str, nominal: datetime | None = None) -> ScheduledRun:
        """Submit a run at once, whatever the schedule's state and its earlier runs.

        Args:
            name: the schedule's.
            nominal: as if it had been due then; ``None``: now.

        Raises:
            NoSuchScheduleError: there is none of this name.
            StoreError: the store refused.
        """
        schedule = self._schedules.latest(name)
        runs = ScheduleRuns(self.queue.store, name)
        request = request_for(schedule, nominal or self.now, now=self.now, by_hand=True)
        run = runs.decide(
            ScheduledRun(
                time=compact(self.now) + MANUAL,
                outcome="submitted",
                message="asked for by hand",
                decided_at=self.now.isoformat(timespec="milliseconds"),
                decided_by=self.by,
                revision=len(self._schedules.revisions(name)),
                request=request,
            )
        )
        assert run.request is not None
        self.queue.submit(run.request)
        runs.carried_out(run.time, self.by, self.now)
        return run

    @property
    def _schedules(self) -> Schedules:
        return Schedules(self.queue.store)

    def _checked(self, schedule: Schedule) -> Schedule:
        check_cron(schedule.cron, schedule.timezone)
        placeholders.check(schedule.manifest, "--manifest")
        placeholders.check(schedule.output, "--output")
        _check_window(schedule, self.now)
        return self._signed(
            replace(
                schedule,
                manifest=_absolute(schedule.manifest),
                output=_absolute(schedule.output),
                since=self.now.isoformat(timespec="seconds"),
            )
        )

    def _signed(self, schedule: Schedule) -> Schedule:
        at = self.now.isoformat(timespec="milliseconds")
        return replace(schedule, written_at=at, written_by=self.by)


def _check_window(schedule: Schedule, now: datetime) -> None:
    """Refuse a window that ends when it begins: it would be open all day."""
    if schedule.not_after is None:
        return
    zone = zone_of(schedule.timezone)
    times = islice(nominal_times(schedule.cron, schedule.timezone, now), _TIMES_LOOKED_AT)
    if any(time.astimezone(zone).time() == schedule.not_after for time in times):
        raise ConfigError(
            f"--not-after {schedule.not_after:%H:%M}: {schedule.cron!r} is due at that time; "
            "a window must end later than it begins"
        )


def _absolute(template: str) -> str:
    """A location as any machine reads it; a URI's escapes would hide placeholders."""
    location = parse_location(template)
    return location.uri if location.scheme == "s3" else location.path
