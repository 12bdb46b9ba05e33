"""How a job stands, from ledger and leases alone: no Ray, no cluster, no weights.

What a manifest adds is the rows that nobody has begun. Whether a finished video still is what its
row asks for now, only a render can tell: that takes the engine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from storage.leases import all_newest
from storage.ledger import Ledger
from storage.rejected import Rejection, read_rejected
from storage.results import read_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.lease_record import LeaseRecord
    from storage.manifest import Manifest
    from storage.record import LedgerRecord
    from storage.stored import StoreWithListing

VideoState = Literal["rendered", "rendering", "pending", "failed", "rejected"]
STATES: Final[tuple[VideoState, ...]] = get_args(VideoState)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStatus:
    """How one video, or one bad row of a manifest, stands.

    Attributes:
        id: the video's id; ``None`` for a row without one.
        state: ``rendering``: a driver has it; ``pending``: nobody has it and it is to be rendered.
        attempt: number of its newest ledger record; 0 if it has none.
        key: of the film, if it is rendered.
        reason: why it failed or was rejected; empty otherwise.
        since: ISO 8601: when it was finished, or when a driver took it.
        holder: the driver that has it, as host and process.
    """

    id: str | None
    state: VideoState
    attempt: int = 0
    key: str | None = None
    reason: str = ""
    since: str | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How the videos under an output URI stand."""

    uri: str
    videos: tuple[VideoStatus, ...]

    @property
    def counts(self) -> dict[VideoState, int]:
        """How many videos there are in every state."""
        found = Counter(video.state for video in self.videos)
        return {state: found[state] for state in STATES}

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed and nothing was rejected."""
        return not self.counts["failed"] and not self.counts["rejected"]


def read_status(store: StoreWithListing, manifest: Manifest | None = None) -> JobStatus:
    """How the videos of a store, or those of one manifest, stand now.

    Raises:
        UserError: the manifest can't be read.
        StoreError: the store can't.
    """
    records = {record.id: record for record in Ledger(store).latest(read_results(store))}
    leases = {lease.id: lease for lease in all_newest(store) if not lease.is_free()}
    rejected = read_rejected(store)
    if manifest is None:
        ids = sorted({*records, *leases})
        known = (_status(video_id, records, leases) for video_id in ids)
        videos = [*known, *map(_rejected, rejected)]
    else:
        videos = list(_of_manifest(manifest, records, leases, rejected))
    return JobStatus(uri=store.uri, videos=tuple(videos))


def _of_manifest(
    manifest: Manifest,
    records: dict[str, LedgerRecord],
    leases: dict[str, LeaseRecord],
    rejected: list[Rejection],
) -> Iterator[VideoStatus]:
    """Every row, in order; a row that the engine refused in the last run is rejected too."""
    refused = {rejection.id: rejection for rejection in rejected}
    for row in manifest.rows():
        if isinstance(row, Rejection):
            yield _rejected(row)
        elif row.spec.id in refused and row.spec.id not in leases:
            yield _rejected(refused[row.spec.id])
        else:
            yield _status(row.spec.id, records, leases)


def _rejected(rejection: Rejection) -> VideoStatus:
    return VideoStatus(id=rejection.id, state="rejected", reason=str(rejection))


def _status(
    video_id: str, records: dict[str, LedgerRecord], leases: dict[str, LeaseRecord]
) -> VideoStatus:
    record, lease = records.get(video_id), leases.get(video_id)
    attempt = record.attempt if record else 0
    if lease is not None:
        return VideoStatus(
            id=video_id,
            state="rendering",
            attempt=attempt,
            since=lease.since.isoformat(timespec="seconds"),
            holder=str(lease.holder),
        )
    if record is None or record.state == "requeued":
        return VideoStatus(id=video_id, state="pending", attempt=attempt)
    return VideoStatus(
        id=video_id,
        state=record.state,
        attempt=attempt,
        key=record.key,
        reason=f"{record.error}: {record.message}" if record.state == "failed" else "",
        since=record.finished_at,
    )
