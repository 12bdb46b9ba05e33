"""Which queued jobs may start now, and which running ones must stop: pure functions of the queue.

Higher priorities go first. Among equals the owner goes first who has the least at work now, then
who has had the least of the last day; then the job that was submitted first. A job whose window is
closed is not started, one that runs into its end is paused, and goes on when the window opens again
unless a person paused it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from jobs.wall_clock import zone_of
from jobs.window import is_open, next_opening
from storage.job_log import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.job_log import LoggedEvent
    from storage.job_queue import QueuedJob
    from storage.job_request import JobRequest

# Why the dispatcher paused a job; it takes back no pause that a person asked for.
WINDOW: Final = "window"
_ENDS_A_RUN: Final = frozenset({"finished", "failed", "paused", "cancelled", "lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRules:
    """What a dispatcher goes by.

    Attributes:
        max_running: jobs that run at the same time; a job uses all the GPUs that are free.
        max_tries: drivers in a row that a job may lose before it counts as failed.
        backoff_s: pause after the first of them; doubles with each, up to ``max_backoff_s``.
        remembered_s: how far back an owner's share is counted.
    """

    max_running: int = 1
    max_tries: int = 5
    backoff_s: float = 10.0
    max_backoff_s: float = 600.0
    remembered_s: float = 86_400.0


@dataclass(slots=True)
class Decision:
    """Ids of jobs, in the order in which they are to be seen to."""

    start: list[str] = field(default_factory=list)
    pause: list[str] = field(default_factory=list)
    resume: list[str] = field(default_factory=list)


def unlimited(request: JobRequest) -> float | None:
    """An estimate, in GPU-hours, where none can be made."""
    del request
    return None


def decide(
    jobs: Sequence[QueuedJob],
    now: datetime,
    rules: AdmissionRules,
    gpu_hours: Callable[[JobRequest], float | None] = unlimited,
) -> Decision:
    """What is to be done at ``now`` (aware)."""
    decision = Decision()
    for job in jobs:
        if job.request.window is None:
            continue
        is_night = is_open(job.request.window, now)
        if job.state == "running" and not is_night:
            decision.pause.append(job.request.id)
        elif job.state in {"pausing", "paused"} and is_night and is_paused_by_window(job):
            decision.resume.append(job.request.id)
    active = [job for job in jobs if job.state in ACTIVE]
    waiting = [
        job
        for job in jobs
        if job.state == "queued" and not held_because(job, now, rules, gpu_hours)
    ]
    decision.start = _in_turn(
        waiting, active, rules.max_running - len(active), _Shares(jobs, now, rules)
    )
    return decision


def held_because(
    job: QueuedJob,
    now: datetime,
    rules: AdmissionRules,
    gpu_hours: Callable[[JobRequest], float | None] = unlimited,
) -> str:
    """Why a queued job may not start even if there is room; empty if it may."""
    window, cap = job.request.window, job.request.max_gpu_hours
    if window is not None and not is_open(window, now):
        opens_at = next_opening(window, now).astimezone(zone_of(window.timezone))
        return f"its window opens at {opens_at:%Y-%m-%d %H:%M} {window.timezone}"
    at = tried_again_at(job, rules)
    if at is not None and now < at:
        return f"tried again at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    hours = None if cap is None else gpu_hours(job.request)
    if cap is not None and hours is not None and hours > cap:
        return f"estimated at {hours:.3g} GPU-hours, above its cap of {cap:g}"
    return ""


def is_paused_by_window(job: QueuedJob) -> bool:
    """Whether the end of the night, and no person, paused a job."""
    asked = [e for e in job.events if e.event in {"pause_asked", "paused", "resumed"}]
    asked = [e for e in asked if e.event != "paused" or not _follows_asking(e, asked)]
    return bool(asked) and asked[-1].details.get("cause") == WINDOW


def _follows_asking(paused: LoggedEvent, asked: Sequence[LoggedEvent]) -> bool:
    before = [e for e in asked if e.number < paused.number]
    return bool(before) and before[-1].event == "pause_asked"


def num_tries(events: Sequence[LoggedEvent]) -> int:
    """Drivers that were lost through a job's or its cluster's fault since it was last asked for."""
    count = 0
    for logged in events:
        if logged.event in {"requeued", "resumed", "paused"}:
            count = 0
        elif logged.event == "lost" and logged.details.get("counts"):
            count += 1
    return count


def tried_again_at(job: QueuedJob, rules: AdmissionRules) -> datetime | None:
    """When a job that lost its driver may start again; ``None`` if it need not wait."""
    tries = num_tries(job.events)
    if not tries:
        return None
    pause_s = min(rules.max_backoff_s, rules.backoff_s * 2.0 ** (tries - 1))
    return datetime.fromisoformat(job.events[-1].at) + timedelta(seconds=pause_s)


class _Shares:
    """How long each owner's jobs have run lately."""

    def __init__(self, jobs: Sequence[QueuedJob], now: datetime, rules: AdmissionRules) -> None:
        since = now - timedelta(seconds=rules.remembered_s)
        self._run_s: Counter[str] = Counter()
        for job in jobs:
            for start, end in runs_of(job.events, now):
                run_s = (min(end, now) - max(start, since)).total_seconds()
                self._run_s[job.request.owner] += max(0, round(run_s))

    def of(self, owner: str) -> int:
        """Seconds."""
        return self._run_s[owner]


def runs_of(events: Sequence[LoggedEvent], now: datetime) -> list[tuple[datetime, datetime]]:
    """From when to when a job has run; a run that goes on ends ``now``."""
    runs, since = [], None
    for logged in events:
        at = datetime.fromisoformat(logged.at)
        if logged.event == "started":
            since = at
        elif logged.event in _ENDS_A_RUN and since is not None:
            runs.append((since, at))
            since = None
    return runs if since is None else [*runs, (since, now)]


def _in_turn(
    waiting: list[QueuedJob], active: list[QueuedJob], room: int, shares: _Shares
) -> list[str]:
    at_work = Counter(job.request.owner for job in active)

    def rank(job: QueuedJob) -> tuple[Any, ...]:
        request = job.request
        submitted_at = datetime.fromisoformat(request.submitted_at)
        owner = request.owner
        return -request.priority, at_work[owner], shares.of(owner), submitted_at, request.id

    chosen: list[str] = []
    left = list(waiting)
    while left and len(chosen) < room:
        first = min(left, key=rank)
        left.remove(first)
        at_work[first.request.owner] += 1
        chosen.append(first.request.id)
    return chosen
