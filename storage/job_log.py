"""What became of a queued job: numbered create-only events, whose fold is the job's state.

    queued --started--> running --finished / failed--> finished / failed
    queued --paused--> paused --resumed--> queued
    running --pause_asked--> pausing --paused--> paused
    running --cancel_asked--> cancelling --cancelled--> cancelled
    queued, paused --cancelled--> cancelled
    running, pausing --lost--> queued            its driver is gone and another is to take it up
    finished, failed, cancelled --requeued--> queued

An event is only written if it is allowed in the state that the events before it lead to, and under
the next number, which one writer gets. So of a start and a cancellation at the same moment one is
first, the other sees it, and a job that was cancelled while it was queued can't start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pipeline.errors import ObjectMissingError, StoreError, UserError
from storage import numbered

if TYPE_CHECKING:
    from pipeline.stores import ObjectStore

JobState = Literal[
    "queued", "running", "pausing", "paused", "cancelling", "cancelled", "finished", "failed"
]
JobEvent = Literal[
    "started",
    "pause_asked",
    "paused",
    "resumed",
    "cancel_asked",
    "cancelled",
    "finished",
    "failed",
    "lost",
    "requeued",
]
ENDED: Final[frozenset[JobState]] = frozenset({"cancelled", "finished", "failed"})
# States in which a driver is, or may be, at work.
ACTIVE: Final[frozenset[JobState]] = frozenset({"running", "pausing", "cancelling"})

_ALLOWED: Final[dict[JobState, dict[JobEvent, JobState]]] = {
    "queued": {"started": "running", "paused": "paused", "cancelled": "cancelled"},
    "running": {
        "pause_asked": "pausing",
        "cancel_asked": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "lost": "queued",
    },
    "pausing": {
        "paused": "paused",
        "resumed": "running",
        "cancel_asked": "cancelling",
        "finished": "finished",
        "failed": "failed",
        "lost": "paused",
    },
    "paused": {"resumed": "queued", "cancelled": "cancelled"},
    "cancelling": {"cancelled": "cancelled", "finished": "finished", "lost": "cancelled"},
    "cancelled": {"requeued": "queued"},
    "finished": {"requeued": "queued"},
    "failed": {"requeued": "queued"},
}


class NotAllowedError(UserError):
    """What was asked makes no sense in the state that the job is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One event.

    Attributes:
        number: under which it lies, counted from 1.
        at: ISO 8601 with its offset.
        by: who wrote it, as person or as host and process.
        reason: in a sentence; may be empty.
        details: such as ``exit_code`` or ``attempt``.
    """

    number: int
    event: JobEvent
    at: str
    by: str
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class JobLog:
    """The events of one job, under ``prefix`` (with its slash). Any number of writers."""

    def __init__(self, store: ObjectStore, prefix: str, job_id: str) -> None:
        self._store, self._prefix, self._job_id = store, prefix, job_id

    def events(self) -> list[LoggedEvent]:
        """All events, oldest first.

        Raises:
            StoreError: the store refused, or an event is damaged.
        """
        found = []
        for number in numbered.numbers(self._store, self._prefix):
            try:
                data = self._store.get_bytes(f"{self._prefix}{number:06d}.json")
            except ObjectMissingError:
                break
            found.append(_read(data, number, f"{self._store.uri}/{self._prefix}{number:06d}.json"))
        return found

    def state(self) -> JobState:
        """What the events lead to."""
        return state_after(self.events())

    def write(self, event: JobEvent, *, by: str, reason: str = "", **details: Any) -> LoggedEvent:
        """Write an event if the job's state allows it.

        Raises:
            NotAllowedError: it doesn't; nothing was written.
            StoreError: the store refused.
        """
        for _ in range(numbered.MAX_LOST_RACES):
            events = self.events()
            state = state_after(events)
            if event not in _ALLOWED[state]:
                raise NotAllowedError(
                    f"job '{self._job_id}' is {state}: {event!r} is not possible, only "
                    f"{', '.join(repr(name) for name in _ALLOWED[state])}"
                )
            logged = LoggedEvent(
                number=len(events) + 1,
                event=event,
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                by=by,
                reason=reason,
                details=details,
            )
            if numbered.create(self._store, self._prefix, logged.number, _to_json(logged)):
                return logged
        raise StoreError(f"{self._store.uri}/{self._prefix}: others were always quicker")


def state_after(events: list[LoggedEvent]) -> JobState:
    """The state that events lead to; one that was not allowed (written by other code) is passed."""
    state: JobState = "queued"
    for logged in events:
        state = _ALLOWED[state].get(logged.event, state)
    return state


def _to_json(logged: LoggedEvent) -> bytes:
    values = {
        "event": logged.event,
        "at": logged.at,
        "by": logged.by,
        "reason": logged.reason,
        "details": logged.details,
    }
    return (json.dumps(values, indent=2) + "\n").encode()


def _read(data: bytes, number: int, where: str) -> LoggedEvent:
    try:
        values = json.loads(data)
        logged = LoggedEvent(number=number, **values)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{where}: no event: {type(error).__name__}: {error}") from error
    if logged.event not in get_args(JobEvent):
        raise StoreError(f"{where}: event {logged.event!r} is unknown: newer code?")
    return logged
