"""Queued jobs as values, with whatever happened to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from storage.job_log import LoggedEvent
from storage.job_queue import QueuedJob
from storage.job_request import JobRequest

if TYPE_CHECKING:
    from storage.job_log import JobEvent

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def request(job_id: str, **more: Any) -> JobRequest:
    """A job that was submitted at noon, and what is to be different."""
    usual: dict[str, Any] = {
        "manifest": "s3://bucket/tonight.parquet",
        "output": "s3://bucket/out",
        "owner": "ann",
        "submitted_at": NOON.isoformat(),
    }
    return JobRequest(id=job_id, **(usual | more))


def happened(*events: tuple[JobEvent, float] | tuple[JobEvent, float, dict[str, Any]]) -> Any:
    """Events, each with its time in seconds after noon, and with details."""
    return tuple(
        LoggedEvent(
            number=number,
            event=event[0],
            at=(NOON + timedelta(seconds=event[1])).isoformat(),
            by="test",
            details=event[2] if len(event) == 3 else {},
        )
        for number, event in enumerate(events, 1)
    )


def job(job_id: str, *events: Any, **more: Any) -> QueuedJob:
    """A job and its events."""
    return QueuedJob(request=request(job_id, **more), events=happened(*events))
