"""What was asked of a queued job, as a frozen value and as JSON: written once, never changed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import time
from pathlib import PurePosixPath
from typing import Any, Final

from pipeline.errors import StoreError, UserError
from storage.keys import is_safe_id

REQUEST_FORMAT: Final = 1
_DIGEST_BYTES: Final = 4
_MAX_NAME_LENGTH: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NightWindow:
    """The part of the day in which a job may run, by the clock on a wall.

    Attributes:
        not_before, not_after: local times; the first is part of the window, the second is not. A
            window whose end is earlier than its start goes past midnight; equal ones are all day.
        timezone: IANA name.
    """

    not_before: time
    not_after: time
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One job in the queue.

    Attributes:
        id: also the submission id that Ray knows it by.
        manifest, output: URIs, reachable from the cluster.
        settings: ``KEY=VALUE``, as ``render`` takes them; everything from presets' and settings'
            files included, so that nothing of the submitter's machine is needed.
        strict: refuse the manifest if any row is bad.
        owner: whose job it is; the queue is fair between owners.
        priority: higher ones go first; 0 is usual.
        submitted_at: ISO 8601 with its offset.
        window: when it may run; ``None`` is always.
        max_gpu_hours: an estimate above it keeps the job from being admitted.
        schedule, nominal_at: the schedule it is a run of, and which one.
    """

    id: str
    manifest: str
    output: str
    settings: tuple[str, ...] = ()
    strict: bool = False
    owner: str
    priority: int = 0
    submitted_at: str
    window: NightWindow | None = None
    max_gpu_hours: float | None = None
    schedule: str | None = None
    nominal_at: str | None = None

    def __post_init__(self) -> None:
        if not is_safe_id(self.id):
            raise UserError(
                f"job id {self.id!r}: expected letters, digits, '.', '_', '-', at most 128"
            )


def deterministic_id(manifest: str, output: str, settings: tuple[str, ...]) -> str:
    """The same id for the same work: the manifest's name and a digest of what is asked."""
    name = PurePosixPath(manifest.rstrip("/")).stem
    name = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_MAX_NAME_LENGTH] or "job"
    asked = json.dumps([manifest, output, sorted(settings)])
    return f"{name}-{hashlib.blake2b(asked.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def to_json(request: JobRequest) -> bytes:
    """The request as it lies in the queue."""
    values: dict[str, Any] = {"format": REQUEST_FORMAT, **asdict(request)}
    if request.window is not None:
        values["window"] = {
            "not_before": request.window.not_before.isoformat(),
            "not_after": request.window.not_after.isoformat(),
            "timezone": request.window.timezone,
        }
    return (json.dumps(values, indent=2) + "\n").encode()


def from_json(data: bytes, where: str) -> JobRequest:
    """Read a request back.

    Raises:
        StoreError: it is damaged, or of a newer format.
    """
    try:
        values = json.loads(data)
        found = values.pop("format")
        if found != REQUEST_FORMAT:
            raise StoreError(f"{where}: format {found!r}, expected {REQUEST_FORMAT}: newer code?")
        window = values.pop("window")
        settings = tuple(values.pop("settings"))
        return JobRequest(**values, settings=settings, window=_window(window))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{where}: no job request: {type(error).__name__}: {error}") from error


def _window(values: dict[str, str] | None) -> NightWindow | None:
    if values is None:
        return None
    return NightWindow(
        not_before=time.fromisoformat(values["not_before"]),
        not_after=time.fromisoformat(values["not_after"]),
        timezone=values["timezone"],
    )
