"""An actor's own log, which the dashboard shows on its page: every line says whose work it was."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.seat import Seat
    from actors.segment import StepReport
    from pipeline.sampler import SegmentSampler

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s"


class WorkerLog:
    """Writes to the process's standard error, a file of its own that Ray rotates."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._whose = f"job={seat.job} {seat.actor}"
        self._logger = logging.getLogger("nightreel.actor")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        if not self._logger.handlers:
            handler = logging.StreamHandler()
            formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
            formatter.converter = time.gmtime
            handler.setFormatter(formatter)
            self._logger.addHandler(handler)

    def began(self, sampler: SegmentSampler, epoch: int) -> None:
        """The actor has taken over a segment; what follows is of this video until the next line."""
        self._whose = (
            f"job={self._seat.job} {self._seat.actor} video={sampler.plan.request.id} "
            f"segment={sampler.segment} epoch={epoch}"
        )
        self._logger.info("%s begins at step=%d", self._whose, sampler.step)

    def step(self, report: StepReport, num_steps: int, wait_s: float) -> None:
        """A step is done."""
        self._logger.info(
            "%s step=%d/%d took %.3f s after waiting %.3f s, sent %d bytes",
            *(self._whose, report.step + 1, num_steps),
            *(report.compute_s, wait_s, report.sent_bytes),
        )

    def failed(self, step: int, error: BaseException) -> None:
        """A step went wrong."""
        self._logger.error("%s step=%d: %s", self._whose, step + 1, error)

    def note(self, what: str) -> None:
        """Anything else about the video at hand."""
        self._logger.info("%s %s", self._whose, what)
