"""One lease record: who renders a video now, as a frozen value and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from storage.holder import Holder

LeaseState = Literal["held", "released"]
LEASE_FORMAT: Final = 1
# How far the clocks of two machines may be apart before one takes a live lease for a dead one at
# first sight. Whoever watches a lease for a while needs no clock but its own.
CLOCK_SKEW_S: Final = 300.0
# A lease that can't be read says nothing of its length.
UNREADABLE_TTL_S: Final = 60.0
_LONGEST_TTL_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What a driver says of a video that it renders.

    Attributes:
        id: the video's id.
        state: ``held``, or ``released`` by a driver that is done with the video.
        fingerprint: of what is being rendered.
        token: unique to one lease of one driver; renewals keep it.
        ttl_s: without a renewal for so long, the lease is free.
        since: when the driver took the video.
        renewed_at: when this record was written; both by the driver's clock.
        holder: the driver.
    """

    id: str
    state: LeaseState
    fingerprint: str
    token: str
    ttl_s: float
    since: datetime
    renewed_at: datetime
    holder: Holder

    def is_free(self) -> bool:
        """Whether nobody renders the video, as far as one look can tell.

        True if the lease was given back, if its driver has ended on this machine, or if it ran out
        so long ago that no difference of clocks explains it. False is no answer: a driver may have
        died elsewhere just now.
        """
        if self.state == "released" or self.holder.is_gone():
            return True
        ends_at = self.renewed_at + timedelta(seconds=self.ttl_s + CLOCK_SKEW_S)
        return datetime.now(UTC) > ends_at


def to_json(record: LeaseRecord) -> bytes:
    """The record as it lies in the store."""
    holder = record.holder
    values = {
        "format": LEASE_FORMAT,
        "id": record.id,
        "state": record.state,
        "fingerprint": record.fingerprint,
        "token": record.token,
        "ttl_s": record.ttl_s,
        "since": record.since.isoformat(timespec="milliseconds"),
        "renewed_at": record.renewed_at.isoformat(timespec="milliseconds"),
        "host": holder.host,
        "pid": holder.pid,
        "machine": holder.machine,
        "started": holder.started,
    }
    return (json.dumps(values, indent=2) + "\n").encode()


def from_json(data: bytes, video_id: str) -> LeaseRecord:
    """Read a record back; one that can't be read is somebody's who was heard of just now."""
    try:
        return _read(json.loads(data), video_id)
    except (ValueError, TypeError, KeyError, AttributeError):
        now = datetime.now(UTC)
        return LeaseRecord(
            id=video_id,
            state="held",
            fingerprint="",
            token="",
            ttl_s=UNREADABLE_TTL_S,
            since=now,
            renewed_at=now,
            holder=Holder("unknown", 0, "", ""),
        )


def _read(values: dict[str, Any], video_id: str) -> LeaseRecord:
    if values["state"] not in get_args(LeaseState):
        raise ValueError(values["state"])
    return LeaseRecord(
        id=video_id,
        state=values["state"],
        fingerprint=str(values["fingerprint"]),
        token=str(values["token"]),
        ttl_s=min(float(values["ttl_s"]), _LONGEST_TTL_S),
        since=_moment(values["since"]),
        renewed_at=_moment(values["renewed_at"]),
        holder=Holder(
            str(values["host"]),
            int(values["pid"]),
            str(values["machine"]),
            str(values["started"]),
        ),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: no time zone")
    return moment
