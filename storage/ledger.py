"""The durable account of a job's videos: append-only records in the object store.

A video is done when a record says so *and* the object that it names is there with the recorded
size and checksum. The record is written last, so whatever dies before leaves no claim behind.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import ObjectCorruptError, ObjectExistsError, StoreError, StoreFullError
from storage import keys, numbered
from storage.record import LedgerRecord, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.stores import ObjectStore

LOG = logging.getLogger("nightreel.storage.ledger")

# Reading a record is one round trip of 10-50 ms: so many at once hide it, and stay polite.
READERS: Final = 16
READ_AHEAD: Final = 4 * READERS

# Names of errors that say nothing against a video.
_OF_THE_STORE: Final = frozenset(
    kind.__name__ for kind in (StoreError, StoreFullError, ObjectCorruptError, ObjectExistsError)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a video is done.

    Attributes:
        done: a record of this fingerprint names an object that is there, whole.
        record: that record, or the newest of this fingerprint that was not good enough.
        current: ``record`` is also the newest of its video, whatever the fingerprint. Where it
            isn't, the configuration went back to an earlier one: append the record again to make
            its film the current one.
        reason: why the video is not done, in one sentence; empty if it is, or was never tried.
        last_attempt: number of the video's newest record; 0 if it has none.
        num_failures: how often this fingerprint failed since it was last rendered or requeued. What
            the store did is no fault of the video and does not count.
        last_failure: the newest of those.
    """

    done: bool
    record: LedgerRecord | None = None
    current: bool = False
    reason: str = ""
    last_attempt: int = 0
    num_failures: int = 0
    last_failure: LedgerRecord | None = None


class Ledger:
    """The records under ``ledger/`` of one output URI. Any number of writers may append."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def append(self, record: LedgerRecord) -> LedgerRecord:
        """Write a record under its video's next free number and give it back with that number.

        Raises:
            StoreError: the store refused.
        """
        prefix = keys.ledger_of(record.id)
        number = numbered.append(
            self._store, prefix, lambda attempt: to_json(replace(record, attempt=attempt))
        )
        return replace(record, attempt=number)

    def current(self, video_id: str) -> LedgerRecord | None:
        """The newest record of a video, or ``None`` if it has none."""
        return next(self.history(video_id), None)

    def history(self, video_id: str) -> Iterator[LedgerRecord]:
        """All records of a video, the newest first; see ``_read`` for a damaged one."""
        for attempt in reversed(numbered.numbers(self._store, keys.ledger_of(video_id))):
            yield self._read(keys.ledger(video_id, attempt))

    def finished(self, video_id: str, fingerprint: str, *, verify: bool = True) -> Verdict:
        """Whether the video with this fingerprint need not be rendered again.

        Args:
            video_id: the video's id.
            fingerprint: of what is to be rendered now.
            verify: also look at the object itself; without, the record is believed.
        """
        history = list(self._back_to_done(video_id, fingerprint, verify=verify))
        newest = history[0].record if history else None
        refused = next((look for look in history if look.mismatch), None)
        failures = _failures([look.record for look in history], fingerprint)
        verdict = Verdict(
            done=False,
            reason=_never_rendered(newest, fingerprint),
            last_attempt=newest.attempt if newest else 0,
            last_failure=failures[0] if failures else None,
            num_failures=len(failures),
        )
        if history and history[-1].is_whole:
            found = history[-1].record
            return replace(verdict, done=True, record=found, current=found is newest, reason="")
        if refused is not None:
            current = refused.record is newest
            return replace(verdict, record=refused.record, current=current, reason=refused.mismatch)
        return verdict

    def verify(self, record: LedgerRecord) -> None:
        """Look at the object that a record names, before the record is written.

        Raises:
            ObjectCorruptError: it is missing, or not as the record says.
        """
        reason = self._mismatch(record)
        if reason:
            raise ObjectCorruptError(f"{self._store.uri}: {reason}")

    def settle(self, record: LedgerRecord, last_attempt: int) -> LedgerRecord:
        """Append what became of an attempt, unless a rival has delivered the same video meanwhile.

        Args:
            record: the outcome.
            last_attempt: the video's newest record when this attempt began.

        Returns:
            The record that stands now: this one with its number, or the rival's.
        """
        for _ in range(numbered.MAX_LOST_RACES):
            newest = last_attempt
            for earlier in self.history(record.id):
                newest = max(newest, earlier.attempt)
                if earlier.attempt <= last_attempt:
                    break
                if (earlier.state, earlier.fingerprint) == ("rendered", record.fingerprint):
                    return earlier
            mine = replace(record, attempt=newest + 1)
            if numbered.create(self._store, keys.ledger_of(record.id), newest + 1, to_json(mine)):
                return mine
        raise StoreError(f"{self._store.uri}: no free number for the record of {record.id!r}")

    def _back_to_done(self, video_id: str, fingerprint: str, *, verify: bool) -> Iterator[_Look]:
        """The video's records, the newest first, until one says that it is done and it is."""
        for record in self.history(video_id):
            tried = (record.state, record.fingerprint) == ("rendered", fingerprint)
            mismatch = self._mismatch(record) if tried and verify else ""
            yield (look := _Look(record, tried and not mismatch, mismatch))
            if look.is_whole:
                return

    def latest(self, known: Mapping[str, LedgerRecord] | None = None) -> Iterator[LedgerRecord]:
        """The newest record of every video, in the order of the keys; read ahead in threads.

        Args:
            known: records by id, such as ``results.parquet`` has them; where one of them is still
                the newest of its video, it isn't read again.
        """
        known = known or {}
        with ThreadPoolExecutor(READERS, thread_name_prefix="ledger") as pool:
            waiting: deque[Callable[[], LedgerRecord]] = deque()
            for key in self._latest_keys():
                found = known.get(_id_of(key))
                if found is not None and found.attempt == keys.number_of(key):
                    waiting.append(partial(_itself, found))
                else:
                    waiting.append(pool.submit(self._read, key).result)
                if len(waiting) >= READ_AHEAD:
                    yield waiting.popleft()()
            while waiting:
                yield waiting.popleft()()

    def _latest_keys(self) -> Iterator[str]:
        last = ""
        for key in self._store.list_keys(keys.LEDGER):
            if keys.number_of(key) is None:
                continue
            if last and key.rpartition("/")[0] != last.rpartition("/")[0]:
                yield last
            last = key
        if last:
            yield last

    def _read(self, key: str) -> LedgerRecord:
        """A record; a damaged one counts as a failure by that name, lest it stop a night."""
        video_id = _id_of(key)
        where = f"{self._store.uri}/{key}"
        try:
            record = from_json(self._store.get_bytes(key), where, video_id)
        except ObjectCorruptError as error:
            LOG.warning("%s", error)
            return LedgerRecord(
                id=video_id,
                state="failed",
                fingerprint="",
                attempt=keys.number_of(key) or 0,
                error=type(error).__name__,
                message=str(error),
            )
        return replace(record, attempt=keys.number_of(key) or 0)

    def _mismatch(self, record: LedgerRecord) -> str:
        """What is wrong with the object that a record names; empty if nothing is."""
        assert record.key is not None
        info = self._store.head(record.key)
        if info is None:
            return f"{record.key} is missing, the ledger says it is there"
        if info.size_bytes != record.size_bytes:
            return f"{record.key} has {info.size_bytes} bytes, the ledger says {record.size_bytes}"
        if info.crc32 is not None and info.crc32 != record.crc32:
            return f"{record.key} has CRC-32 {info.crc32:08x}, the ledger says {record.crc32:08x}"
        return ""


def _id_of(key: str) -> str:
    return key.rpartition("/")[0].removeprefix(keys.LEDGER)


def _itself(record: LedgerRecord) -> LedgerRecord:
    return record


@dataclass(frozen=True, slots=True)
class _Look:
    """A record, whether its film makes the video done, and what is wrong if it should and isn't."""

    record: LedgerRecord
    is_whole: bool
    mismatch: str


def _failures(history: list[LedgerRecord], fingerprint: str) -> list[LedgerRecord]:
    """The records, the newest first, that count against a video."""
    found = []
    for record in history:
        same = record.fingerprint == fingerprint
        if record.state == "requeued" or (same and record.state == "rendered"):
            break
        if same and record.error not in _OF_THE_STORE:
            found.append(record)
    return found


def _never_rendered(newest: LedgerRecord | None, fingerprint: str) -> str:
    if newest is None:
        return ""
    if newest.state == "requeued":
        return "requeued"
    if newest.fingerprint == fingerprint:
        return f"failed in attempt {newest.attempt}: {newest.error}"
    return f"changed since attempt {newest.attempt}"
