"""What was decided of each time at which a schedule was due: numbered create-only records.

    schedule-runs/<name>/<time>/000001.json    the decision; whose writer is first has decided
    schedule-runs/<name>/<time>/000002.json    that it was carried out

``<time>`` is the nominal time in UTC, ``20261127T000000Z``, with ``-manual`` for a run by hand. A
decision holds the whole request, so that any process can carry out what another one decided and
died over; carrying it out twice is the same as once.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import ObjectMissingError, StoreError
from storage import job_request, numbered
from storage.keys import numbered as key_of

if TYPE_CHECKING:
    from storage.job_request import JobRequest
    from storage.stored import StoreWithListing

Outcome = Literal["submitted", "skipped"]
Reason = Literal["", "suspended", "missed", "deadline", "forbid", "no manifest"]

RUNS: Final = "schedule-runs/"
MANUAL: Final = "-manual"
_DECISION, _CARRIED_OUT = 1, 2
_COMPACT: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """What was decided of one due time.

    Attributes:
        time: the nominal time as it stands in the key; the run's id is ``<schedule>-<time>``.
        outcome, reason: what is done, and why it is skipped.
        message: the reason in a sentence.
        decided_at, decided_by: by whose clock, and who (host and process).
        revision: number of the schedule's revision that was in force.
        request: what is submitted, if anything.
        replaces: ids of earlier runs that are cancelled first.
        num_times: due times that this record stands for: more than 1 after a very long outage.
    """

    time: str
    outcome: Outcome
    reason: Reason = ""
    message: str = ""
    decided_at: str
    decided_by: str
    revision: int
    request: JobRequest | None = None
    replaces: tuple[str, ...] = ()
    num_times: int = 1

    @property
    def nominal(self) -> datetime:
        """When it was due, in UTC; for a run by hand, when it was asked for."""
        return moment_of(self.time)


def compact(moment: datetime) -> str:
    """A moment as it stands in keys and ids."""
    return moment.astimezone(UTC).strftime(_COMPACT)


def moment_of(text: str) -> datetime:
    """The moment that ``compact`` wrote."""
    return datetime.strptime(text.removesuffix(MANUAL), _COMPACT).replace(tzinfo=UTC)


class ScheduleRuns:
    """The runs of one schedule. Any number of writers.

    Args:
        store: the queue's.
        schedule: the schedule's name.
        settle_s: pause before a decision is believed, on stores that may let two writers create
            one object.
    """

    def __init__(self, store: StoreWithListing, schedule: str, settle_s: float = 0.5) -> None:
        self._store, self._settle_s = store, settle_s
        self._prefix = f"{RUNS}{schedule}/"

    def times(self) -> list[str]:
        """Every time of which something was decided, ascending; runs by hand too."""
        keys = self._store.list_keys(self._prefix)
        return sorted({key.removeprefix(self._prefix).partition("/")[0] for key in keys})

    def read(self, at: str) -> ScheduledRun | None:
        """What was decided of a time, if anything was.

        Raises:
            StoreError: the store refused, or the record is damaged.
        """
        key = key_of(self._records(at), _DECISION)
        try:
            return _from_json(self._store.get_bytes(key), f"{self._store.uri}/{key}")
        except ObjectMissingError:
            return None

    def decide(self, run: ScheduledRun) -> ScheduledRun:
        """Write a decision; the answer is the one that stands, which may be another's."""
        created = numbered.create(self._store, self._records(run.time), _DECISION, _to_json(run))
        if not self._store.creates_atomically:
            time.sleep(self._settle_s)
        elif created:
            return run
        standing = self.read(run.time)
        if standing is None:
            raise StoreError(f"{self._store.uri}/{self._records(run.time)}: a record vanished")
        return standing

    def is_carried_out(self, at: str) -> bool:
        """Whether all that a decision asks for was done."""
        try:
            self._store.get_bytes(key_of(self._records(at), _CARRIED_OUT))
        except ObjectMissingError:
            return False
        return True

    def carried_out(self, at: str, by: str, moment: datetime) -> None:
        """Note that all that a decision asks for was done; no error if another noted it."""
        note = {"carried_out_at": moment.isoformat(timespec="milliseconds"), "by": by}
        data = (json.dumps(note, indent=2) + "\n").encode()
        numbered.create(self._store, self._records(at), _CARRIED_OUT, data)

    def _records(self, at: str) -> str:
        return f"{self._prefix}{at}/"


def _to_json(run: ScheduledRun) -> bytes:
    values: dict[str, Any] = {name: getattr(run, name) for name in run.__slots__}
    if run.request is not None:
        values["request"] = json.loads(job_request.to_json(run.request))
    return (json.dumps(values, indent=2) + "\n").encode()


def _from_json(data: bytes, where: str) -> ScheduledRun:
    try:
        values = json.loads(data)
        values["replaces"] = tuple(values["replaces"])
        if values["request"] is not None:
            values["request"] = job_request.from_json(json.dumps(values["request"]).encode(), where)
        return ScheduledRun(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{where}: no scheduled run: {type(error).__name__}: {error}") from error
