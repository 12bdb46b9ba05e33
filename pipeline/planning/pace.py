"""How far estimates were off, by kind of work: learnt from what finished videos took."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

# A factor that changes by less than this changes no plan.
_TOLERANCE: Final = 0.05


@dataclass(slots=True)
class Paces:
    """Seconds taken over seconds expected, over all videos of a kind that have finished.

    Attributes:
        in_use: the factors that plans are made with; of a kind of which nothing is known it is 1.
    """

    in_use: dict[str, float] = field(default_factory=dict)
    _taken_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _expected_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def learn(self, kind: str, taken_s: float, expected_s: float) -> bool:
        """One more video; whether plans made so far are to be made anew.

        Args:
            kind: of work.
            taken_s: what it took.
            expected_s: what the estimate said, before any correction.
        """
        if taken_s <= 0 or expected_s <= 0:
            return False
        self._taken_s[kind] += taken_s
        self._expected_s[kind] += expected_s
        factor = self._taken_s[kind] / self._expected_s[kind]
        if abs(factor - self.of(kind)) <= _TOLERANCE * self.of(kind):
            return False
        self.in_use[kind] = factor
        return True

    def of(self, kind: str) -> float:
        """By what factor videos of a kind take longer than estimated."""
        return self.in_use.get(kind, 1.0)
