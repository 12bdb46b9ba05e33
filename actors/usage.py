"""How an actor has spent its time, for whoever asks whether it was worth its GPU."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

_MAX_TURNOVERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorUsage:
    """What an actor says of itself.

    Attributes:
        model_s: seconds in which a network of its engine computed, since it was loaded.
        turnovers_s: seconds from the last step of a video to the first of the next, newest last.
    """

    model_s: float
    turnovers_s: tuple[float, ...]


@dataclass(slots=True)
class Turnovers:
    """An actor's notes of how long it sampled nothing between two videos."""

    _taken_s: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_TURNOVERS))
    _ended_s: float | None = None

    def began(self) -> None:
        """A video's first step on this actor begins."""
        if self._ended_s is not None:
            self._taken_s.append(time.perf_counter() - self._ended_s)
            self._ended_s = None

    def ended(self) -> None:
        """A video's last step is done."""
        self._ended_s = time.perf_counter()

    @property
    def taken_s(self) -> tuple[float, ...]:
        """Seconds, newest last."""
        return tuple(self._taken_s)
