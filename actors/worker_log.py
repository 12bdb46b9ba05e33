"""An actor's own log, which the dashboard shows on its page: every line says whose work it was."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.role import Role
    from actors.seat import Seat
    from actors.step_report import StepReport

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s"


class WorkerLog:
    """Writes to the process's standard error, a file of its own that Ray rotates."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._logger = logging.getLogger("nightreel.actor")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        if not self._logger.handlers:
            handler = logging.StreamHandler()
            formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
            formatter.converter = time.gmtime
            handler.setFormatter(formatter)
            self._logger.addHandler(handler)

    def began(self, role: Role) -> None:
        """The actor has taken over a segment."""
        self._logger.info("%s begins at step=%d", self._whose(role), role.sampler.step)

    def step(self, role: Role, report: StepReport, wait_s: float) -> None:
        """A step is done."""
        self._logger.info(
            "%s step=%d/%d took %.3f s after waiting %.3f s, sent %d bytes",
            *(self._whose(role), report.step + 1, role.sampler.plan.num_steps),
            *(report.compute_s, wait_s, report.sent_bytes),
        )

    def failed(self, role: Role, step: int, error: BaseException) -> None:
        """A step went wrong."""
        self._logger.error("%s step=%d: %s", self._whose(role), step + 1, error)

    def tell(self, what: str) -> None:
        """Anything about the actor itself."""
        self._logger.info("job=%s %s %s", self._seat.job, self._seat.actor, what)

    def note(self, role: Role, what: str) -> None:
        """Anything else about a video."""
        self._logger.info("%s %s", self._whose(role), what)

    def _whose(self, role: Role) -> str:
        return (
            f"job={self._seat.job} {self._seat.actor} video={role.video} "
            f"segment={role.sampler.segment} epoch={role.epoch}"
        )
