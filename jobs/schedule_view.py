"""What is shown of schedules: a list, due times to come, and what became of those that were."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.cron import nominal_times
from jobs.earlier_runs import state_of
from jobs.progress_text import printable
from jobs.schedule_policy import request_for
from jobs.wall_clock import zone_of
from storage.schedule import to_json
from storage.schedule_runs import MANUAL, ScheduleRuns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from storage.job_log import JobState
    from storage.job_queue import JobQueue
    from storage.job_request import JobRequest
    from storage.schedule import Schedule
    from storage.schedule_runs import ScheduledRun


@dataclass(frozen=True, slots=True)
class PastRun:
    """A due time and what became of it.

    Attributes:
        run: what was decided.
        state: of its job, ``None`` if there is no such job.
        is_replaced: whether a later run had it cancelled.
    """

    run: ScheduledRun
    state: JobState | None
    is_replaced: bool

    @property
    def outcome(self) -> str:
        """``submitted``, ``replaced``, or ``skipped:`` with the reason."""
        if self.run.outcome == "skipped":
            return f"skipped: {self.run.reason}"
        return "replaced" if self.is_replaced else "submitted"


def past_runs(queue: JobQueue, name: str, limit: int) -> list[PastRun]:
    """The last runs of a schedule, oldest first.

    Raises:
        StoreError: the store refused.
    """
    runs = ScheduleRuns(queue.store, name)
    found = [run for at in runs.times()[-limit:] if (run := runs.read(at)) is not None]
    replaced = {job_id for run in found for job_id in run.replaces}
    past = []
    for run in found:
        job_id = run.request.id if run.request else None
        state = state_of(queue, job_id) if job_id else None
        past.append(PastRun(run, state, job_id in replaced and state != "finished"))
    return past


def next_requests(schedule: Schedule, now: datetime, count: int) -> list[JobRequest]:
    """What a schedule would submit next, if nothing changes."""
    times = nominal_times(schedule.cron, schedule.timezone, max(now, schedule.since_moment))
    return [request_for(schedule, at, now=at, by_hand=False) for at in islice(times, count)]


def next_time(schedule: Schedule, now: datetime) -> str | None:
    """When a schedule is due next, by its own wall clock; ``None`` while it is suspended."""
    if schedule.state != "active":
        return None
    return next_requests(schedule, now, 1)[0].nominal_at


def schedules_table(schedules: Sequence[Schedule], now: datetime) -> Table:
    """One line for each schedule."""
    table = Table(box=None, pad_edge=False)
    for title in ("schedule", "cron", "time zone", "next", "owner", "manifest"):
        table.add_column(title, overflow="fold")
    for schedule in schedules:
        due = next_time(schedule, now) or schedule.state
        cells = (schedule.cron, schedule.timezone, due, schedule.owner, schedule.manifest)
        table.add_row(schedule.name, *(printable(cell) for cell in cells))
    return table


def next_table(requests: Sequence[JobRequest]) -> Table:
    """One line for each run to come."""
    table = Table(box=None, pad_edge=False)
    for title in ("due", "run", "manifest"):
        table.add_column(title, overflow="fold")
    for request in requests:
        table.add_row(request.nominal_at, request.id, printable(request.manifest))
    return table


def history_table(schedule: Schedule, past: Sequence[PastRun]) -> Table:
    """One line for each run that was due."""
    table = Table(box=None, pad_edge=False)
    for title in ("due", "outcome", "job", "state", "why"):
        table.add_column(title, overflow="fold", no_wrap=title in {"due", "outcome"})
    zone = zone_of(schedule.timezone)
    for each in past:
        run = each.run
        job_id = run.request.id if run.request else ""
        more = f" (and {run.num_times - 1} earlier ones)" if run.num_times > 1 else ""
        due = run.nominal.astimezone(zone).isoformat(" ", "minutes")
        table.add_row(due, each.outcome, job_id, each.state or "", printable(run.message) + more)
    return table


def schedule_values(schedule: Schedule, now: datetime) -> dict[str, Any]:
    """A schedule for programs."""
    values: dict[str, Any] = json.loads(to_json(schedule))
    return {**values, "next": next_time(schedule, now)}


def request_values(request: JobRequest) -> dict[str, Any]:
    """A run to come, for programs."""
    return {
        "nominal_at": request.nominal_at,
        "job": request.id,
        "manifest": request.manifest,
        "output": request.output,
    }


def past_values(past: PastRun) -> dict[str, Any]:
    """A run that was due, for programs."""
    run = past.run
    return {
        "nominal_at": run.nominal.isoformat(),
        "by_hand": run.time.endswith(MANUAL),
        "outcome": "replaced" if past.is_replaced else run.outcome,
        "reason": run.reason,
        "message": run.message,
        "job": run.request.id if run.request else None,
        "state": past.state,
        "decided_at": run.decided_at,
        "decided_by": run.decided_by,
        "num_times": run.num_times,
        "replaces": list(run.replaces),
    }
