"""The faults: each does one thing to one gang, as the world would do it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from actors.gang import Gang
    from actors.step_report import StepReport

# How often each is chosen.
WEIGHTS = {
    "actor killed": 12,
    "two neighbours killed": 4,
    "actor hangs": 2,
    "decoding actor killed": 4,
    "driver gone": 2,
    "node lost": 1,
}
IN_DECODING = "decoding actor killed"


class DriverGoneError(Exception):
    """Stands for the end of a driver: the gang ends with it."""


@dataclass
class Disturber:
    """A watcher that strikes when the moment of a fault has come.

    Attributes:
        gang: whom it strikes.
        rng: chooses moments and victims.
        faults: what is still to come.
        num_steps, num_frames: of the video.
        lose_node: takes a node away.
        struck: what has come.
    """

    gang: Gang
    rng: random.Random
    faults: list[str]
    num_steps: int
    num_frames: int
    lose_node: Callable[[], None]
    struck: list[str] = field(default_factory=list)
    _steps: int = 0
    _moments: dict[str, int] = field(default_factory=dict)

    def on_start(self, num_segments: int, first_step: int) -> None:
        """Choose a moment for each fault that is still to come."""
        steps = max(1, num_segments * (self.num_steps - first_step))
        self._steps = 0
        for fault in self.faults:
            last = self.num_frames if fault == IN_DECODING else steps
            self._moments[fault] = self.rng.randrange(last)

    def on_step(self, report: StepReport) -> None:
        """Strike if a moment has come."""
        del report
        self._steps += 1
        for fault in [other for other in self.faults if other != IN_DECODING]:
            if self._steps > self._moments[fault]:
                self._strike(fault)

    def on_frames(self, num_frames: int) -> None:
        """Strike the decoder if its moment has come."""
        if IN_DECODING in self.faults and num_frames > self._moments[IN_DECODING]:
            self._strike(IN_DECODING)

    def _strike(self, fault: str) -> None:
        self.faults.remove(fault)
        victim = self.rng.randrange(len(self.gang))
        hit = True
        match fault:
            case "actor killed":
                hit = self._signal(victim, signal.SIGKILL)
            case "two neighbours killed":
                other = (victim + 1) % len(self.gang)
                hit = self._signal(victim, signal.SIGKILL) | self._signal(other, signal.SIGKILL)
            case "actor hangs":
                hit = self._signal(victim, signal.SIGSTOP)
            case "decoding actor killed":
                hit = self._signal(0, signal.SIGKILL)
            case "node lost":
                self.lose_node()
        if hit:
            self.struck.append(fault)
        if fault == "driver gone":
            raise DriverGoneError

    def _signal(self, index: int, number: signal.Signals) -> bool:
        """Strike whoever is in that place now; says whether there was anybody."""
        crew = self.gang._crew  # noqa: SLF001
        pid = crew.pid_of(crew.handles()[index].place)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True
