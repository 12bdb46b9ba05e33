"""Whether a due run is submitted or skipped, and as what: pure functions of what is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobs.placeholders import fill
from jobs.wall_clock import zone_of
from storage.job_request import JobRequest, NightWindow
from storage.schedule_runs import MANUAL, compact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from storage.schedule import Schedule
    from storage.schedule_runs import Reason

# A run is on time if a scheduler gets to it within this; ``catch_up="none"`` skips later ones.
ON_TIME_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a run is not submitted."""

    reason: Reason
    message: str


def skipped(
    revisions: Sequence[Schedule], nominal: datetime, *, now: datetime, is_newest: bool
) -> Skip | None:
    """What keeps a due run from being submitted, as far as the clock and the schedule can tell.

    Args:
        revisions: of the schedule, oldest first.
        nominal: when it was due.
        now: the time.
        is_newest: whether no later run is due.
    """
    schedule = revisions[-1]
    late_s = (now - nominal).total_seconds()
    if "suspended" in {schedule.state, _in_force(revisions, nominal).state}:
        return Skip("suspended", "the schedule is suspended")
    if schedule.catch_up == "none" and late_s > ON_TIME_S:
        return Skip("missed", f"no scheduler ran when it was due, {_duration(late_s)} ago")
    if schedule.catch_up == "latest" and not is_newest:
        return Skip("missed", "no scheduler ran before the next one was due")
    deadline_s = schedule.starting_deadline_s
    if deadline_s is not None and late_s > deadline_s:
        return Skip(
            "deadline", f"{_duration(late_s)} late; the deadline is {_duration(deadline_s)}"
        )
    return None


def request_for(
    schedule: Schedule, nominal: datetime, *, now: datetime, by_hand: bool
) -> JobRequest:
    """What a run asks the queue for.

    Args:
        schedule: the schedule.
        nominal: the time whose date the placeholders take, and from which the window is open.
        now: the time.
        by_hand: whether ``run-now`` asks for it: its id then is of now, and no window holds it.
    """
    local = nominal.astimezone(zone_of(schedule.timezone))
    run_id = f"{schedule.name}-{compact(now) + MANUAL if by_hand else compact(nominal)}"
    window = None
    if schedule.not_after is not None and not by_hand:
        window = NightWindow(
            not_before=local.time().replace(microsecond=0),
            not_after=schedule.not_after,
            timezone=schedule.timezone,
        )
    return JobRequest(
        id=run_id,
        manifest=fill(schedule.manifest, nominal=local, schedule=schedule.name, run_id=run_id),
        output=fill(schedule.output, nominal=local, schedule=schedule.name, run_id=run_id),
        settings=schedule.settings,
        strict=schedule.strict,
        owner=schedule.owner,
        priority=schedule.priority,
        submitted_at=now.isoformat(timespec="milliseconds"),
        window=window,
        max_gpu_hours=schedule.max_gpu_hours,
        schedule=schedule.name,
        nominal_at=local.isoformat(timespec="seconds"),
    )


def _in_force(revisions: Sequence[Schedule], moment: datetime) -> Schedule:
    """The revision that was in force at a moment; before the first one, the first."""
    before = [revision for revision in revisions if revision.written_moment <= moment]
    return before[-1] if before else revisions[0]


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
