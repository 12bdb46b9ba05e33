"""From ledger, leases, sidecars and rejected rows to what the page says: no Ray, no weights."""

from __future__ import annotations

import json
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from jobs.report.facts import Facts, facts_of, filled, short
from jobs.report.rows import MAX_SHOWN, Rows, read_rows
from jobs.status import STATES, read_standing, status_of
from pipeline.errors import ObjectCorruptError, ObjectMissingError
from storage import keys
from storage.rejected import read_rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobs.status import Standing, VideoStatus
    from storage.manifest import Manifest
    from storage.record import LedgerRecord
    from storage.rejected import Rejection
    from storage.stored import StoreWithListing

LOG = logging.getLogger("nightreel.report")

# One round trip each, as ``Ledger.latest`` reads its records.
READERS: Final = 16
MAX_REASON_CHARS: Final = 2_000
_OF_A_FILM: Final = ("size_bytes", "num_frames", "duration_s", "width", "height", "fps")
# When there are too many: what a person has to see comes first.
_WEIGHT: Final = {"rendering": 0, "failed": 1, "rendered": 2, "pending": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that the page says, as plain values.

    Attributes:
        uri: the job's output.
        manifest: its manifest's URI; empty if none was given.
        written_at: when this was so.
        counts: videos by state, those that are not on the page too.
        videos: one dict each, as ``page/data.js`` reads them.
        rejected: rows that can't be rendered.
    """

    uri: str
    manifest: str
    written_at: datetime
    counts: Mapping[str, int]
    videos: Sequence[Facts]
    rejected: Sequence[Rejection]

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "uri": self.uri,
            "manifest": self.manifest,
            "written_at": self.written_at.isoformat(timespec="seconds"),
            "counts": dict(self.counts),
            "videos": list(self.videos),
            "rejected": [asdict(rejection) for rejection in self.rejected],
        }


class Collector:
    """Reads one store as often as asked; what never changes is read once. For one thread."""

    def __init__(self, store: StoreWithListing, manifest: Manifest | None = None) -> None:
        self._store, self._manifest = store, manifest
        self._rows: Rows | None = None
        self._records: Mapping[str, LedgerRecord] | None = None
        self._facts: dict[str, Facts] = {}

    def collect(self, rejected: Sequence[Rejection] | None = None) -> Report:
        """How the job stands now.

        Args:
            rejected: what the running job has rejected so far; what the store has of the last run
                if not given.

        Raises:
            UserError: the manifest can't be read.
            StoreError: the store can't.
        """
        if self._rows is None:
            self._rows = read_rows(self._manifest)
        rows, standing = self._rows, read_standing(self._store, self._records)
        self._records = standing.records
        bad = self._rejected(rows, rejected)
        refused = {each.id for each in bad} - standing.leases.keys() - standing.records.keys()
        ids = [video_id for video_id in _ids(rows, standing) if video_id not in refused]
        states = [status_of(video_id, standing) for video_id in ids]
        shown = _shown(states)
        self._read_sidecars(shown, standing)
        return Report(
            uri=self._store.uri,
            manifest=self._manifest.uri if self._manifest else "",
            written_at=datetime.now(UTC),
            counts=_counts(states, bad, rows),
            videos=[self._video(status, standing) for status in shown],
            rejected=bad[:MAX_SHOWN],
        )

    def _rejected(self, rows: Rows, rejected: Sequence[Rejection] | None) -> list[Rejection]:
        """Rows that the manifest shows to be bad, and those that the engine refused."""
        noted = read_rejected(self._store) if rejected is None else rejected
        if self._manifest is not None and rejected is None:
            noted = [each for each in noted if each.id in rows.asked]
        return list({(each.file, each.row): each for each in (*rows.rejected, *noted)}.values())

    def _read_sidecars(self, shown: Sequence[VideoStatus], standing: Standing) -> None:
        found = (standing.records.get(status.id or "") for status in shown)
        new = {record.key: record for record in found if record and _has_film(record)}
        missing = [record for key, record in new.items() if key not in self._facts]
        with ThreadPoolExecutor(READERS, thread_name_prefix="sidecars") as pool:
            for record, facts in zip(missing, pool.map(self._sidecar, missing), strict=True):
                self._facts[str(record.key)] = facts

    def _sidecar(self, record: LedgerRecord) -> Facts:
        key = keys.sidecar(record.id, record.fingerprint)
        try:
            return facts_of(json.loads(self._store.get_bytes(key))) | {"sidecar": key}
        except (ObjectMissingError, ObjectCorruptError, ValueError, RecursionError) as error:
            LOG.warning("%s/%s: no figures for the page: %s", self._store.uri, key, error)
            return {}

    def _video(self, status: VideoStatus, standing: Standing) -> Facts:
        record = standing.records.get(status.id or "")
        assert self._rows is not None
        facts: Facts = {"id": status.id, "state": status.state, "attempt": status.attempt}
        facts |= self._rows.asked.get(status.id or "", {})
        if status.state == "rendering":
            facts |= {"since": status.since, "holder": short(status.holder)}
        elif record is not None:
            facts |= {"started_at": record.started_at, "finished_at": record.finished_at}
        if status.state == "failed" and record is not None:
            facts |= {"error": short(record.error), "message": short(record.message, 2_000)}
        if record is not None and _has_film(record):
            facts |= self._facts.get(str(record.key), {}) | _film(record)
        return filled(facts)


def _has_film(record: LedgerRecord) -> bool:
    """Whether there is a film where films lie; a link to any other place is nobody's business."""
    if record.state != "rendered" or not keys.is_safe_id(record.fingerprint):
        return False
    return str(record.key).startswith(keys.videos_of(record.id) + record.fingerprint)


def _film(record: LedgerRecord) -> Facts:
    film = {name: getattr(record, name) for name in _OF_A_FILM}
    return film | {
        "fingerprint": record.fingerprint,
        "video": record.key,
        "poster": keys.poster(record.id, record.fingerprint),
    }


def _ids(rows: Rows, standing: Standing) -> list[str]:
    """The manifest's videos in its order, then what else there is."""
    others = (video_id for video_id in standing.ids if video_id not in rows.asked)
    return [*rows.asked, *others]


def _shown(states: Sequence[VideoStatus]) -> list[VideoStatus]:
    """As many as a page bears, in their order."""
    if len(states) <= MAX_SHOWN:
        return list(states)
    order = sorted(range(len(states)), key=lambda i: (_WEIGHT.get(states[i].state, 9), i))
    return [states[i] for i in sorted(order[:MAX_SHOWN])]


def _counts(
    states: Iterable[VideoStatus], rejected: Sequence[Rejection], rows: Rows
) -> dict[str, int]:
    """Videos by state; rows that were not read are pending unless the ledger knows better."""
    found = Counter(str(status.state) for status in states)
    begun_unread = sum(found.values()) - len(rows.asked)
    found["pending"] += max(0, rows.num_rows - rows.num_read - begun_unread)
    found["rejected"] = len(rejected)
    return {state: found[state] for state in STATES}
