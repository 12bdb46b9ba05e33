"""A video as the planner sees it: how long it takes on a gang of any size, and what it needs there.

Sampling is shared out over the gang, a step being as long as its slowest segment; decoding is
serial and keeps one GPU, while the others are free for the next video:

    sampling_s(g) = steps * (ceil(windows / g) * window_s + exchange_s if g > 1)

This is a moldable task (Turek, Wolf, Yu: Approximate algorithms for scheduling parallelizable
tasks, SPAA 1992): its gang is chosen before it starts and then stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What makes one video take longer than another; videos of equal work are interchangeable.

    Attributes:
        num_windows: windows of one step.
        num_steps: denoising steps that are left.
        window_s: seconds of one window on one GPU.
        decode_s: seconds from the last step to the end of the upload, on one GPU.
        exchange_s: seconds that a step takes longer for its exchange, on two GPUs or more.
        max_gang: the most segments that the video can be cut into.
        min_gang: smaller gangs are not wanted, where the video can be cut into so many.
        fixed_bytes: memory that every GPU of the gang needs.
        state_bytes: memory that is shared out over the gang.
        kind: videos of one kind are faster or slower than estimated by the same factor.
        gangs: sizes worth having, ascending: a larger one is always faster than the one before.
        sampling_s: seconds of sampling on each of them.
    """

    num_windows: int
    num_steps: int
    window_s: float
    decode_s: float = 0.0
    exchange_s: float = 0.0
    max_gang: int = 1
    min_gang: int = 1
    fixed_bytes: int = 0
    state_bytes: int = 0
    kind: str = ""
    gangs: tuple[int, ...] = field(init=False, compare=False, repr=False)
    sampling_s: tuple[float, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Find the gangs worth having.

        Raises:
            ValueError: a count or a time that can't be.
        """
        for name, least in (
            *(("num_windows", 1), ("num_steps", 0)),
            *(("max_gang", 1), ("min_gang", 1)),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}: expected {least} or more")
        for name in ("window_s", "decode_s", "exchange_s", "fixed_bytes", "state_bytes"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} = {value}: expected a finite number, 0 or more")
        gangs = _gangs(self)
        object.__setattr__(self, "gangs", tuple(gangs))
        object.__setattr__(self, "sampling_s", tuple(gangs.values()))

    @property
    def gpu_s(self) -> float:
        """GPU-seconds on one GPU, the least that any gang spends."""
        return self.num_steps * self.num_windows * self.window_s + self.decode_s

    @property
    def shortest_s(self) -> float:
        """Seconds on the widest gang: no fleet does it faster."""
        return self.sampling_s[-1] + self.decode_s

    def bytes_on(self, gang: int) -> int:
        """Memory that each GPU of a gang needs."""
        return self.fixed_bytes + -(-self.state_bytes // gang)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTask:
    """One video that is to be rendered.

    Attributes:
        id: unique.
        work: what it takes.
        priority: higher ones go first, whatever else holds.
        deadline_s: when it should be done, on the planner's clock.
        owner: among equals the owner goes first who has had the least.
    """

    id: str
    work: Work
    priority: int = 0
    deadline_s: float | None = None
    owner: str = ""


def turn(priority: int, deadline_s: float | None) -> tuple[int, float]:
    """A key by which videos take turns: higher priorities first, then earlier deadlines."""
    return -priority, math.inf if deadline_s is None else deadline_s


def _gangs(work: Work) -> dict[int, float]:
    """The smallest gang for every number of windows of its slowest segment, if it gains by it."""
    found: dict[int, float] = {}
    most = min(work.max_gang, work.num_windows)
    gang = min(work.min_gang, most)
    while gang <= most:
        slowest = -(-work.num_windows // gang)
        exchange_s = work.exchange_s if gang > 1 else 0.0
        sampling_s = work.num_steps * (slowest * work.window_s + exchange_s)
        if not found or sampling_s < min(found.values()):
            found[gang] = sampling_s
        if slowest == 1:
            break
        gang = -(-work.num_windows // (slowest - 1))
    return found
