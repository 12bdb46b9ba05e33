"""Putting failed videos back in the queue: the next run tries them as if they had never failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from storage.keys import is_safe_id
from storage.ledger import Ledger
from storage.record import LedgerRecord
from storage.results import put_results, read_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.stores import ObjectStore


class NotFailedError(UserError):
    """What was to be tried again did not fail, or was never tried."""


def requeue(store: ObjectStore, ids: Sequence[str] = ()) -> list[LedgerRecord]:
    """Requeue the named videos, or all whose newest record is a failure; all or none.

    Returns:
        The failures that count no more, in the order of the ledger or of ``ids``.

    Raises:
        NotFailedError: a named video is not a failed one; nothing was written.
        StoreError: the store refused.
    """
    ledger = Ledger(store)
    if ids:
        failed = [_failed(ledger, video_id) for video_id in dict.fromkeys(ids)]
    else:
        failed = [r for r in ledger.latest(read_results(store)) if r.state == "failed"]
    for record in failed:
        ledger.append(
            LedgerRecord(
                id=record.id,
                state="requeued",
                fingerprint=record.fingerprint,
                finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            )
        )
    if failed:
        put_results(store, ledger.latest(read_results(store)))
    return failed


def _failed(ledger: Ledger, video_id: str) -> LedgerRecord:
    record = ledger.current(video_id) if is_safe_id(video_id) else None
    if record is None:
        raise NotFailedError(f"{video_id!r} is not in the ledger: nothing to retry")
    if record.state != "failed":
        raise NotFailedError(f"'{video_id}' is {record.state}: only failed videos are retried")
    return record
