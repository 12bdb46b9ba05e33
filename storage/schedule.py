"""A schedule: what is to be submitted, when, and what if it can't be; as a value and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from typing import Any, Final, Literal, get_args

from pipeline.errors import StoreError, UserError

SCHEDULE_FORMAT: Final = 1

# Kubernetes' words, and its limit: what a run's name adds must still be a name.
Concurrency = Literal["Allow", "Forbid", "Replace"]
CatchUp = Literal["none", "latest", "all"]
ScheduleState = Literal["active", "suspended", "removed"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,51}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule, as one of its revisions has it.

    Attributes:
        name: letters, digits, ``.``, ``_``, ``-``, at most 52.
        cron: five fields, by the wall clock in ``timezone``.
        timezone: IANA name.
        manifest, output: URIs with placeholders.
        settings, strict, owner, priority, max_gpu_hours: of each ``JobRequest``.
        not_after: end of each run's night window, whose start is the time that it was due.
        concurrency: what if an earlier run has not ended: ``Allow``, ``Forbid``, ``Replace``.
        starting_deadline_s: a run that is later than this is skipped; ``None``: no deadline.
        catch_up: which of the runs that no scheduler saw in time are submitted afterwards.
        state: ``suspended`` runs are skipped and not caught up.
        since: ISO 8601; runs are due after this.
        written_at, written_by: who made this revision, and when (ISO 8601).
    """

    name: str
    cron: str
    timezone: str
    manifest: str
    output: str
    settings: tuple[str, ...] = ()
    strict: bool = False
    owner: str
    priority: int = 0
    max_gpu_hours: float | None = None
    not_after: time | None = None
    concurrency: Concurrency = "Allow"
    starting_deadline_s: float | None = None
    catch_up: CatchUp = "latest"
    state: ScheduleState = "active"
    since: str
    written_at: str
    written_by: str

    def __post_init__(self) -> None:
        check_name(self.name)
        for kind, value in (
            (Concurrency, self.concurrency),
            (CatchUp, self.catch_up),
            (ScheduleState, self.state),
        ):
            if value not in get_args(kind):
                raise UserError(f"{value!r}: expected one of {', '.join(get_args(kind))}")
        deadline_s = self.starting_deadline_s
        if deadline_s is not None and not deadline_s > 0:
            raise UserError(f"starting deadline {deadline_s} s: expected more than 0")

    @property
    def since_moment(self) -> datetime:
        """``since`` as a moment in UTC."""
        return datetime.fromisoformat(self.since).astimezone(UTC)

    @property
    def written_moment(self) -> datetime:
        """``written_at`` as a moment in UTC."""
        return datetime.fromisoformat(self.written_at).astimezone(UTC)


def check_name(name: str) -> None:
    """Refuse a name that can't be a part of a key and of a run's id.

    Raises:
        UserError: saying what is expected.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"schedule name {name!r}: expected letters, digits, '.', '_', '-', at most 52"
        )


def to_json(schedule: Schedule) -> bytes:
    """The schedule as it lies in the queue."""
    values: dict[str, Any] = {"format": SCHEDULE_FORMAT, **asdict(schedule)}
    if schedule.not_after is not None:
        values["not_after"] = schedule.not_after.isoformat("minutes")
    return (json.dumps(values, indent=2) + "\n").encode()


def from_json(data: bytes, where: str) -> Schedule:
    """Read a schedule back.

    Raises:
        StoreError: it is damaged, or of a newer format.
    """
    try:
        values = json.loads(data)
        found = values.pop("format")
        if found != SCHEDULE_FORMAT:
            raise StoreError(f"{where}: format {found!r}, expected {SCHEDULE_FORMAT}: newer code?")
        values["settings"] = tuple(values["settings"])
        if values["not_after"] is not None:
            values["not_after"] = time.fromisoformat(values["not_after"])
        return Schedule(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{where}: no schedule: {type(error).__name__}: {error}") from error
