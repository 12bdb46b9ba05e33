"""Which GPUs should be free next, and when."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.planning.free_gpus import Gpu
    from pipeline.planning.roster import Assignment, Roster


class Releases:
    """What running videos should give back, soonest first; those that are late come first of all.

    Entries of videos that have ended already are dropped when they come up.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._heap: list[tuple[float, int, Assignment, bool]] = []
        self._number = 0

    def expect(self, assignment: Assignment) -> None:
        """One more runs."""
        self._drop_ended()
        if len(assignment.gpus) > 1:
            self._push(assignment.sampled_s, assignment, is_end=False)
        self._push(assignment.end_s, assignment, is_end=True)

    def __iter__(self) -> Iterator[tuple[float, Sequence[Gpu]]]:
        """Times and GPUs. A heap is walked from its top, so the first few cost little."""
        self._drop_ended()
        seen = [(self._heap[0][:2], 0)] if self._heap else []
        while seen:
            (at_s, _), place = heapq.heappop(seen)
            gpus = self._given_back(place)
            if gpus:
                yield at_s, gpus
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(self._heap):
                    heapq.heappush(seen, (self._heap[below][:2], below))

    def _drop_ended(self) -> None:
        while self._heap and not self._given_back(0):
            heapq.heappop(self._heap)

    def _given_back(self, place: int) -> Sequence[Gpu]:
        _, _, assignment, is_end = self._heap[place]
        running = self._roster.running.get(assignment.task.id)
        if running is None or running.assignment is not assignment:
            return ()
        return running.gpus[:1] if is_end else running.gpus[1:]

    def _push(self, at_s: float, assignment: Assignment, *, is_end: bool) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at_s, self._number, assignment, is_end))
