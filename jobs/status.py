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
    from collections.abc import Iterator, Mapping

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a store says of its videos, by id.

    Attributes:
        records: the newest ledger record of each.
        leases: those that a driver has now.
    """

    records: Mapping[str, LedgerRecord]
    leases: Mapping[str, LeaseRecord]

    @property
    def ids(self) -> list[str]:
        """Every video that was ever begun, in order."""
        return sorted({*self.records, *self.leases})


def read_standing(
    store: StoreWithListing, known: Mapping[str, LedgerRecord] | None = None
) -> Standing:
    """How the videos of a store stand now.

    Args:
        store: the job's output.
        known: records that are not read again while they are the newest; those that
            ``results.parquet`` has, if not given.

    Raises:
        StoreError: the store refused.
    """
    known = read_results(store) if known is None else known
    records = {record.id: record for record in Ledger(store).latest(known)}
    leases = {lease.id: lease for lease in all_newest(store) if not lease.is_free()}
    return Standing(records=records, leases=leases)


def read_status(store: StoreWithListing, manifest: Manifest | None = None) -> JobStatus:
    """How the videos of a store, or those of one manifest, stand now.

    Raises:
        UserError: the manifest can't be read.
        StoreError: the store can't.
    """
    standing, rejected = read_standing(store), read_rejected(store)
    if manifest is None:
        known = (status_of(video_id, standing) for video_id in standing.ids)
        videos = [*known, *map(_rejected, rejected)]
    else:
        videos = list(_of_manifest(manifest, standing, rejected))
    return JobStatus(uri=store.uri, videos=tuple(videos))


def _of_manifest(
    manifest: Manifest, standing: Standing, rejected: list[Rejection]
) -> Iterator[VideoStatus]:
    """Every row, in order; a row that the engine refused in the last run is rejected too."""
    refused = {rejection.id: rejection for rejection in rejected}
    for row in manifest.rows():
        if isinstance(row, Rejection):
            yield _rejected(row)
        elif row.spec.id in refused and row.spec.id not in standing.leases:
            yield _rejected(refused[row.spec.id])
        else:
            yield status_of(row.spec.id, standing)


def _rejected(rejection: Rejection) -> VideoStatus:
    return VideoStatus(id=rejection.id, state="rejected", reason=str(rejection))


def status_of(video_id: str, standing: Standing) -> VideoStatus:
    """How one video stands."""
    record, lease = standing.records.get(video_id), standing.leases.get(video_id)
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
