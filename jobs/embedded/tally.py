"""Right answers counted: per attribute, with 95 % intervals, and what was taken for what."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Tally:
    """``right`` of ``total``."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """Right over total; NaN of nothing."""
        return self.right / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval (Wilson 1927), which stays within [0, 1] at both ends."""
        if not self.total:
            return 0.0, 1.0
        n, p, z = self.total, self.share, Z_95
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True, slots=True)
class Hardest:
    """The value of an attribute that is seen least often where it is asked for.

    Attributes:
        value: what was asked for.
        tally: how often it was seen then.
        mistaken_for: what was seen most often in its place; empty if nothing was.
    """

    value: str
    tally: Tally
    mistaken_for: str


@dataclass(frozen=True, slots=True)
class AttributeTally:
    """How often one attribute was right, all values together, and its hardest value."""

    attribute: str
    tally: Tally
    hardest: Hardest


def tally_attribute(attribute: str, pairs: Iterable[tuple[str, str]]) -> AttributeTally | None:
    """Count ``pairs`` of what was asked for and what was seen; None if there are none."""
    counts = Counter(pairs)
    if not counts:
        return None
    total = Tally(sum(n for (asked, seen), n in counts.items() if asked == seen), counts.total())
    values = [_hardest(value, counts) for value in sorted({asked for asked, _ in counts})]
    return AttributeTally(attribute, total, min(values, key=lambda h: h.tally.share))


def mean_share(tallies: Sequence[AttributeTally]) -> float:
    """The mean over attributes, each counting the same."""
    return sum(t.tally.share for t in tallies) / len(tallies)


def _hardest(value: str, counts: Counter[tuple[str, str]]) -> Hardest:
    seen = Counter({s: n for (asked, s), n in counts.items() if asked == value})
    wrong = [(n, s) for s, n in seen.items() if s != value]
    return Hardest(value, Tally(seen[value], seen.total()), max(wrong)[1] if wrong else "")
