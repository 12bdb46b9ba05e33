"""Who owns what: the cut of a video into segments, and what they must hand each other.

A segment is a run of whole cores of the grid. Segments slide with the grid, so that at each step
every window's core lies in one segment, and one exchange a step carries everything: the halo, the
slots that change owner, and the solver history that goes with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.spans import Span

if TYPE_CHECKING:
    from pipeline.boundary import Boundary


@dataclass(frozen=True, slots=True)
class Handover:
    """What one segment sends a neighbour between two steps.

    ``history`` is the part of the receiver's new ownership that the sender gives up; it lies inside
    ``latents``. Either may be empty.
    """

    latents: Span
    history: Span


@dataclass(frozen=True, slots=True)
class Partition:
    """A cut into ``len(borders) + 1`` segments, at borders numbered by the boundary layout."""

    boundary: Boundary
    borders: tuple[int, ...]

    @property
    def num_segments(self) -> int:
        """How many segments there are, at least one."""
        return len(self.borders) + 1

    def owned(self, step: int, segment: int) -> Span:
        """The slots that ``segment`` owns while ``step`` is computed."""
        first, last = 0, self.boundary.num_slots
        if segment > 0:
            first = self.boundary.border(step, self.borders[segment - 1])
        if segment < len(self.borders):
            last = self.boundary.border(step, self.borders[segment])
        return Span(first, last)

    def reads(self, step: int, segment: int) -> Span:
        """The slots whose latents ``segment`` needs at the start of ``step``."""
        return self.boundary.reads(step, self.owned(step, segment))

    def handover(self, step: int, sender: int, receiver: int) -> Handover:
        """What ``sender``, having finished ``step - 1``, gives ``receiver`` before ``step``."""
        has = self.owned(step - 1, sender)
        return Handover(
            latents=self.reads(step, receiver).intersect(has),
            history=self.owned(step, receiver).intersect(has),
        )


def max_segments(boundary: Boundary) -> int:
    """The most segments that this video can be cut into."""
    if boundary.num_borders == 0:
        return 1
    return 2 + (boundary.num_borders - 1) // boundary.min_cores


def cut(boundary: Boundary, num_segments: int, num_steps: int) -> Partition:
    """Cut a video so that all segments have nearly the same number of windows over all steps.

    More segments than the video can bear are an honest wish: the cut then has fewer.

    Args:
        boundary: the mode, laid out over the video.
        num_segments: how many are wanted, at least 1.
        num_steps: denoising steps, over which the window counts are averaged.
    """
    assert num_segments >= 1, f"num_segments = {num_segments}"
    count = min(num_segments, max_segments(boundary))
    if count == 1:
        return Partition(boundary, ())
    before_first, total = _mean_windows(boundary, num_steps)
    borders: list[int] = []
    for segment in range(1, count):
        lowest = borders[-1] + boundary.min_cores if borders else 1
        highest = boundary.num_borders - (count - 1 - segment) * boundary.min_cores
        wish = round(total * segment / count - before_first + 1)
        borders.append(min(max(wish, lowest), highest))
    return Partition(boundary, tuple(borders))


def _mean_windows(boundary: Boundary, num_steps: int) -> tuple[float, float]:
    """Windows left of border 1, and in the whole video, averaged over the steps."""
    before = total = 0
    steps = range(min(num_steps, 64))
    for step in steps:
        starts = [w.core.start for w in boundary.windows(step, Span(0, boundary.num_slots))]
        total += len(starts)
        before += sum(start < boundary.border(step, 1) for start in starts)
    return before / len(steps), total / len(steps)
