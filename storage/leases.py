"""Leases: of any number of drivers on one output URI, one renders a video.

A lease is the highest numbered record under ``leases/<id>/``. It is taken, renewed and given back
by creating the next number, which one writer gets; older numbers are removed afterwards. A driver
renews at a third of ``ttl_s``. Who sees no renewal for ``ttl_s``, by its own clock, takes the video
over by the next number.

Not every store decides between rivals. One that looks first and writes then can tell several that
they were first, and the last one's content stays. There a driver takes two numbers, one after the
other, and the second only if the first is still its own after ``settle_s``: a rival that writes
over the first later than that finds the second taken. What slips through, two writes in a row that
took longer than ``settle_s``, is noticed at the next renewal, and costs work but no video: the
ledger takes one record.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, ObjectExistsError, ObjectMissingError, StoreError
from storage import keys, numbered
from storage.holder import Holder, this_process
from storage.lease_record import LeaseRecord, LeaseState, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.stored import StoreWithListing

LOG = logging.getLogger("nightreel.storage.leases")

# Records move on while they are read: so many tries in a row mean a store gone wrong.
_READ_TRIES: Final = 20


class LeaseLostError(StoreError):
    """Another driver has taken the video over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseOptions:
    """How drivers share an output URI.

    Attributes:
        ttl_s: a video whose driver gives no sign of life for so long is taken over by another
            driver; signs are given at a third of it.
        settle_s: on a store that may let several create one object: seconds before a driver
            believes that it was the first; longer than a small write takes.
    """

    ttl_s: float = 60.0
    settle_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ttl_s <= 86_400:
            raise ConfigError(f"lease.ttl_s = {self.ttl_s}: expected more than 0, at most 86400")
        if not 0 <= self.settle_s < self.ttl_s:
            raise ConfigError(f"lease.settle_s = {self.settle_s}: expected 0 or more, below ttl_s")


@dataclass(slots=True)
class _Sighting:
    """When a record was first seen, by our own clock."""

    number: int
    token: str
    seen_s: float


class Leases:
    """The leases of one output URI, as one driver sees them. For one thread."""

    def __init__(
        self,
        store: StoreWithListing,
        options: LeaseOptions,
        *,
        holder: Holder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._options, self._clock = store, options, clock
        self._holder = holder or this_process()
        self._sightings: dict[str, _Sighting] = {}

    def acquire(self, video_id: str, fingerprint: str) -> Lease | None:
        """Take a video, or learn that another driver renders it; ask again to take it over.

        Raises:
            StoreError: the store refused.
        """
        number, newest = newest_of(self._store, video_id)
        if newest is not None and not self._is_free(number, newest):
            return None
        lease = Lease(self._store, self._options, self._holder, video_id, fingerprint)
        if not lease.claim(number + 1):
            return None
        self._sightings.pop(video_id, None)
        return lease

    def _is_free(self, number: int, newest: LeaseRecord) -> bool:
        if newest.is_free():
            return True
        now_s, seen = self._clock(), self._sightings.get(newest.id)
        if seen is None or (seen.number, seen.token) != (number, newest.token):
            self._sightings[newest.id] = _Sighting(number, newest.token, now_s)
            return False
        return now_s - seen.seen_s > newest.ttl_s


@dataclass(slots=True)
class Lease:
    """One driver's hold on one video; made by ``Leases.acquire``.

    Attributes:
        video_id, fingerprint: what is held.
        lost: another driver has taken the video over.
    """

    _store: StoreWithListing
    _options: LeaseOptions
    _holder: Holder
    video_id: str
    fingerprint: str
    lost: bool = False
    _number: int = 0
    _token: str = field(default_factory=lambda: token_hex(16))
    _since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def claim(self, number: int) -> bool:
        """Make ``number`` this driver's, for sure; says whether it is."""
        if not self._write(number, "held"):
            return False
        if not self._store.creates_atomically:
            time.sleep(self._options.settle_s)
            if not self._is_mine(number) or not self._write(number + 1, "held"):
                return False
            number += 1
        if not self._is_mine(number):
            return False
        self._number = number
        self._prune(number - 1)
        return True

    def renew(self) -> bool:
        """Give a sign of life; false, and ``lost``, if another driver has had the video since.

        A lease that ran out but that nobody took is simply renewed. Where nothing is left of it,
        another driver is done with the video.

        Raises:
            StoreError: the store refused; nothing is known of the lease.
        """
        if self.lost:
            return False
        number, newest = newest_of(self._store, self.video_id)
        is_mine = newest is not None and newest.token == self._token
        if is_mine and self._write(number + 1, "held"):
            self._number = number + 1
            self._prune(number)
        else:
            self.lost = True
        return not self.lost

    def release(self, *, done: bool) -> None:
        """Give the video back.

        Args:
            done: the ledger says that the video is rendered: whoever comes next will see that, and
                nothing of the lease is left.

        Raises:
            StoreError: the store refused; the lease runs out by itself.
        """
        if self.lost:
            return
        if done or self._write(self._number + 1, "released"):
            self._prune(self._number)

    def _write(self, number: int, state: LeaseState) -> bool:
        """Create a record; false if the number is taken."""
        record = LeaseRecord(
            id=self.video_id,
            state=state,
            fingerprint=self.fingerprint,
            token=self._token,
            ttl_s=self._options.ttl_s,
            since=self._since,
            renewed_at=datetime.now(UTC),
            holder=self._holder,
        )
        key = _key(self.video_id, number)
        try:
            self._store.put_bytes(key, to_json(record), content_type="application/json")
        except ObjectExistsError:
            return False
        return True

    def _is_mine(self, number: int) -> bool:
        found, newest = newest_of(self._store, self.video_id)
        return newest is not None and (found, newest.token) == (number, self._token)

    def _prune(self, last: int) -> None:
        """Remove records up to a number; what can't be removed now is clutter, no lease."""
        prefix = keys.leases_of(self.video_id)
        for number in numbered.numbers(self._store, prefix):
            if number <= last:
                self._store.delete(_key(self.video_id, number))


def newest_of(store: StoreWithListing, video_id: str) -> tuple[int, LeaseRecord | None]:
    """The number and content of the record that counts; 0 and ``None`` if there is none.

    Raises:
        StoreError: the store refused.
    """
    for _ in range(_READ_TRIES):
        present = numbered.numbers(store, keys.leases_of(video_id))
        if not present:
            return 0, None
        try:
            data = store.get_bytes(_key(video_id, present[-1]))
        except ObjectMissingError:
            continue
        return present[-1], from_json(data, video_id)
    raise StoreError(
        f"{store.uri}/{keys.leases_of(video_id)}: records went away {_READ_TRIES} times in a row "
        "before they could be read"
    )


def all_newest(store: StoreWithListing) -> Iterator[LeaseRecord]:
    """The record that counts of every video that has one, in the order of the ids."""
    last_id = ""
    for key in store.list_keys(keys.LEASES):
        video_id = key.removeprefix(keys.LEASES).partition("/")[0]
        if video_id != last_id and keys.is_safe_id(video_id):
            last_id = video_id
            _, record = newest_of(store, video_id)
            if record is not None:
                yield record


def _key(video_id: str, number: int) -> str:
    return keys.numbered(keys.leases_of(video_id), number)
