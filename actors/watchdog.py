"""When an actor that says nothing counts as hung. Knows no Ray and no clock.

Before anything is known a step may take as long as the configuration says. From then on it may
take several times the median of the steps so far, but never less than a floor: a machine that
stutters is not a machine that hangs. The first step of every process warms up and has the whole
time.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

# Windows per step differ by one or two between steps, speeds between devices by a few times.
PATIENCE = 10.0

# More than this between two looks, and it was the driver that slept.
MAX_LOOK_S = 5.0

_REMEMBERED = 101


@dataclass(slots=True)
class LearnedLimit:
    """How long a piece of work may take.

    Attributes:
        at_most_s: before anything is known, and ever.
        at_least_s: whatever is learned.
    """

    at_most_s: float
    at_least_s: float
    _durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def learn(self, duration_s: float) -> None:
        """A piece of work took so long."""
        self._durations_s.append(duration_s)

    @property
    def limit_s(self) -> float:
        """The limit as it stands."""
        if not self._durations_s:
            return self.at_most_s
        learned_s = PATIENCE * statistics.median(self._durations_s)
        return min(self.at_most_s, max(self.at_least_s, learned_s))


@dataclass(slots=True)
class Watchdog:
    """One stopwatch per actor: it runs while the same work is the next that the actor owes."""

    _work: dict[int, Hashable] = field(default_factory=dict)
    _watched_s: dict[int, float] = field(default_factory=dict)
    _looked_s: float | None = None

    def look(self, owed: dict[int, Hashable], now_s: float) -> dict[int, float]:
        """How long each actor has owed what it owes now.

        Args:
            owed: what each segment could be computing now; those that wait for others are left out.
            now_s: any clock that never goes back.
        """
        since_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, MAX_LOOK_S)
        self._looked_s = now_s
        for segment in list(self._work):
            if self._work[segment] != owed.get(segment):
                del self._work[segment], self._watched_s[segment]
        for segment, work in owed.items():
            known = segment in self._work
            self._watched_s[segment] = self._watched_s[segment] + since_s if known else 0.0
            self._work[segment] = work
        return dict(self._watched_s)
