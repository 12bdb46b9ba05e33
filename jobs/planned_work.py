"""A row as the planner sees it: what it takes by what is known of the engine's pace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from jobs.estimate import window_cost
from pipeline.planning.measured import work_of
from pipeline.planning.task import VideoTask, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.estimate import Pace
    from pipeline.plan import VideoPlan

# Of one exchange: some calls, and boundaries through shared memory (``benchmarks/exchange``).
EXCHANGE_S: Final = 0.01

# Where nothing was measured: what counts then is which video takes how often as long as another.
_UNKNOWN_WINDOW_S_PER_COST: Final = 1e-5
_UNKNOWN_TAIL_S_PER_PIXEL: Final = 1e-6


@dataclass(slots=True)
class PlannedWork:
    """Makes tasks of plans; videos that are alike share their work.

    Attributes:
        pace: the engine's, if it is known.
        wall: seconds since the epoch, for deadlines.
        clock: the floor's.
        gang: actors for each video; ``None``: as the planner sees fit.
    """

    pace: Pace | None
    wall: Callable[[], float]
    clock: Callable[[], float]
    gang: int | None = None
    _known: dict[object, Work] = field(default_factory=dict)

    def task(self, plan: VideoPlan) -> VideoTask:
        """The task of a row."""
        request = plan.request
        deadline_s = None
        if request.deadline is not None:
            left_s = datetime.fromisoformat(request.deadline).timestamp() - self.wall()
            deadline_s = self.clock() + left_s
        return VideoTask(
            id=request.id,
            work=self._work(plan),
            priority=request.priority,
            deadline_s=deadline_s,
        )

    def tail_s(self, plan: VideoPlan) -> float:
        """Seconds from the last step to the end of the upload, with an actor to itself."""
        per_pixel_s = self.pace.tail_s_per_pixel if self.pace else _UNKNOWN_TAIL_S_PER_PIXEL
        return _num_pixels(plan) * per_pixel_s

    def _work(self, plan: VideoPlan) -> Work:
        """What a video takes; its delivery is shared out over its windows.

        Nobody waits for a delivery but the video itself: the next one is sampled meanwhile, a
        little more slowly. So it costs its actors' time, and no turn.
        """
        request = plan.request
        kind = plan.num_latent_frames, plan.num_steps, window_cost(plan), _num_pixels(plan)
        if kind not in self._known:
            per_cost_s = self.pace.window_s_per_cost if self.pace else _UNKNOWN_WINDOW_S_PER_COST
            counted = work_of(plan.boundary, plan.num_steps, window_s=1.0, decode_s=0.0)
            window_s = window_cost(plan) * per_cost_s + self.tail_s(plan) / counted.gpu_s
            self._known[kind] = work_of(
                plan.boundary,
                plan.num_steps,
                window_s=window_s,
                decode_s=0.0,
                exchange_s=EXCHANGE_S,
                gang=self.gang,
                kind=f"{request.width}x{request.height}",
            )
        return self._known[kind]


def _num_pixels(plan: VideoPlan) -> int:
    """Of the finished film, all frames together."""
    request = plan.request
    return request.num_frames * request.width * request.height
