"""How long something still takes, from how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Work that began at ``start_s`` and had come to ``done`` of ``total`` at ``mark_s``.

    Times are of one monotonic clock, in seconds; work is in any unit.
    """

    start_s: float
    mark_s: float
    done: float
    total: float

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds from ``now_s`` to the end at the mean pace so far; ``None`` while there is none.

        It counts down between two marks and waits at 0 if the next is late.
        """
        if self.done <= 0 or self.mark_s <= self.start_s:
            return None
        whole_s = (self.mark_s - self.start_s) / self.done * self.total
        return max(0.0, self.start_s + whole_s - now_s)


def clock_text(seconds: float) -> str:
    """Seconds as a clock shows them: ``0:07``, ``12:34``, ``3:00:00``, ``2 d 3:00:00``."""
    whole = math.ceil(seconds)
    days, whole = divmod(whole, 86_400)
    hours, whole = divmod(whole, 3600)
    minutes, whole = divmod(whole, 60)
    if days:
        return f"{days} d {hours}:{minutes:02}:{whole:02}"
    if hours:
        return f"{hours}:{minutes:02}:{whole:02}"
    return f"{minutes}:{whole:02}"
