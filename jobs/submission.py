"""From a command line to a request in the queue, checked before anybody goes to bed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Literal

from actors.cluster import ClusterOptions
from jobs.config import canonical, load_config
from jobs.flat_settings import flat_settings
from jobs.person import this_person, this_person_here
from jobs.window import is_open
from pipeline.errors import ConfigError, UserError
from storage.job_log import NotAllowedError
from storage.job_request import JobRequest, NightWindow, deterministic_id
from storage.location import parse_location
from storage.manifest import Manifest
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobs.settings import JobConfig
    from storage.job_log import JobState
    from storage.job_queue import JobQueue

Outcome = Literal["queued", "requeued", "known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submission came to.

    Attributes:
        outcome: ``queued`` anew; ``requeued``: it had failed or was cancelled; ``known``: it is
            the same job as one that is in the queue, and nothing was done.
        state: of the job now.
    """

    request: JobRequest
    outcome: Outcome
    state: JobState


def settings_of(
    preset: str | None, files: Sequence[Path], overrides: Sequence[str]
) -> tuple[JobConfig, tuple[str, ...]]:
    """The configuration, and the same as overrides that need nothing of this machine.

    Raises:
        ConfigError: see ``load_config``.
    """
    config = load_config(preset=preset, files=files, overrides=overrides)
    settings = flat_settings(config)
    assert canonical(_without_ray(load_config(overrides=settings))) == canonical(
        _without_ray(config)
    ), "settings must survive being written down"
    return config, settings


def window_of(not_before: str | None, not_after: str | None, timezone: str) -> NightWindow | None:
    """The part of the day in which a job may run; one end alone means midnight for the other.

    Raises:
        ConfigError: no such time or time zone.
    """
    if not_before is None and not_after is None:
        return None
    window = NightWindow(
        not_before=_clock("--not-before", not_before or "00:00"),
        not_after=_clock("--not-after", not_after or "00:00"),
        timezone=timezone,
    )
    is_open(window, datetime.now(UTC))
    return window


def request_of(
    manifest: str,
    output: str,
    settings: tuple[str, ...],
    *,
    owner: str | None = None,
    **more: Any,
) -> JobRequest:
    """The request; relative paths are made absolute here, where the user is."""
    where, target = parse_location(manifest).uri, StoreConfig(uri=output).uri
    return JobRequest(
        id=deterministic_id(where, target, settings),
        manifest=where,
        output=target,
        settings=settings,
        owner=owner or this_person(),
        submitted_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        **more,
    )


def check(request: JobRequest, config: JobConfig) -> int:
    """Open the manifest; gives the number of its rows.

    Raises:
        UserError: it can't be read from here.
    """
    return Manifest.open(request.manifest, s3=config.store).num_rows


def submit(queue: JobQueue, request: JobRequest) -> Submitted:
    """Put a request in the queue; one that is there already is the same job.

    Raises:
        StoreError: the store refused.
    """
    if queue.submit(request):
        return Submitted(request=request, outcome="queued", state="queued")
    job = queue.job(request.id)
    if job.state in {"failed", "cancelled"}:
        try:
            queue.log(request.id).write("requeued", by=this_person_here(), reason="submitted again")
        except NotAllowedError:
            pass
        else:
            return Submitted(request=job.request, outcome="requeued", state="queued")
    return Submitted(request=job.request, outcome="known", state=queue.log(request.id).state())


def _clock(option: str, text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: expected a time such as 07:00") from None
    if found.tzinfo is not None:
        raise UserError(f"{option} {text}: give the zone with --timezone")
    return found


def _without_ray(config: JobConfig) -> JobConfig:
    return replace(config, ray=ClusterOptions())
