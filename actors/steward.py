"""The steward: keeps a crew warm from one job to the next.

A detached actor that owns a placement group and the segment actors in it, and lends all of them to
one job at a time. It outlives the job that made it; what it owns ends with it. It ends by itself

- when nobody has borrowed for ``gang.keep_warm_s``,
- when its borrower gives no sign of life, since nobody knows what its actors are doing then,
- when somebody else needs the room while nobody borrows.

Its name has a digest of all that its actors were started with, which is how a job finds those that
it can use.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import ray

from actors.handles import SegmentHandle
from actors.placement import requested
from actors.seat import Seat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.util.placement_group import PlacementGroup

    from actors.terms import Terms
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.steward")

PREFIX: Final = "warm"
# A thread beside the one that reserves and starts: signs of life wait for neither.
CONCURRENCY_GROUPS: Final = {"control": 1}
_LOOK_S: Final = 0.5


# Room, number of the loan, and actors by place.
Lent = tuple["PlacementGroup", int, dict[int, Any]]


class Steward:
    """The detached actor. Times are by its own clock."""

    def __init__(
        self, name: str, terms: Terms, keep_warm_s: float, silent_s: float, borrower: str
    ) -> None:
        """Ask for the room; whoever appoints it is its first borrower."""
        self._name, self._terms = name, terms
        self._keep_warm_s, self._silent_s = keep_warm_s, silent_s
        self._group = requested(terms.share)
        self._actors: dict[int, Any] = {}
        self._borrower, self._num_loans = borrower, 1
        self._heard_s = time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def reserved(self, borrower: str, wait_s: int) -> Lent | None:
        """What the first borrower gets; ``None`` if there is no room yet, after a wait for it."""
        self._hear(borrower)
        return self._lent() if self._group.wait(timeout_seconds=wait_s) else None

    def lend(self, borrower: str) -> Lent | None:
        """What another borrower gets; ``None`` if somebody has it."""
        with self._lock:
            if self._borrower:
                return None
            self._borrower, self._heard_s = borrower, time.monotonic()
            self._num_loans += 1
            return self._lent()

    def _lent(self) -> Lent:
        return self._group, self._num_loans, dict(self._actors)

    @ray.method(concurrency_group="control")
    def touch(self, borrower: str) -> None:
        """The borrower lives."""
        self._hear(borrower)

    def _hear(self, borrower: str) -> None:
        with self._lock:
            if borrower == self._borrower:
                self._heard_s = time.monotonic()

    def start(self, borrower: str, place: int, store: StoreFactory) -> Any:
        """Start an actor in a place whose last one has ended; it works for no job yet."""
        with self._lock:
            if borrower != self._borrower:
                raise RuntimeError(f"{borrower} has not borrowed: {self._borrower or 'nobody'} has")
            handle = SegmentHandle.start(Seat(PREFIX, place), self._group, self._terms, store)
            self._actors[place] = handle.actor
            return handle.actor

    def take_back(self, borrower: str, places: Sequence[int]) -> None:
        """The borrower is done; only the actors in these places are fit for the next one."""
        with self._lock:
            if borrower == self._borrower:
                self._actors = {place: self._actors[place] for place in places}
                self._borrower, self._heard_s = "", time.monotonic()

    @ray.method(concurrency_group="control")
    def leave_if_idle(self) -> None:
        """Somebody else needs the room."""
        with self._lock:
            if not self._borrower:
                self._end("its room is needed")

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                silent_s = time.monotonic() - self._heard_s
                if self._borrower and silent_s > self._silent_s:
                    self._end(f"{self._borrower} has not been heard of for {silent_s:.0f} s")
                elif not self._borrower and silent_s > self._keep_warm_s:
                    self._end(f"nobody has borrowed for {silent_s:.0f} s")

    def _end(self, reason: str) -> None:
        """End this process; Ray then ends the actors, and gives the room back."""
        logger.warning("%s ends: %s", self._name, reason)
        with suppress(Exception):
            ray.kill(ray.get_actor(self._name))
        os._exit(0)
