"""Who owns what: the cut of a video into segments, and what they must hand each other.

A segment is a run of whole cores of the grid. Its ends move with the grid, so that at each step
every window's core lies in one segment, and one exchange a step carries everything: the halo, the
slots that change owner, and the solver history that goes with them.

Where the ends are: the windows of all steps stand in one line, ordered by where their cores begin,
and the line is cut into runs as equal as can be. So an end stays within one core of one place, and
no cut has a smaller largest share. Between two windows of a step there is one of every other step,
so a place in the line is, for each step, the same number of windows or one more: nothing has to be
sorted but the steps.
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
    """A cut into ``len(borders) + 1`` segments.

    Attributes:
        boundary: the mode, laid out over the video.
        borders: each border's number as the boundary layout has it, summed over all steps.
        turns: of each step, its place among all steps, from the one whose grid lies furthest to the
            right. A border's mean number is rounded up at steps with a late turn, else down.
    """

    boundary: Boundary
    borders: tuple[int, ...]
    turns: tuple[int, ...]

    @property
    def num_segments(self) -> int:
        """How many segments there are, at least one."""
        return len(self.borders) + 1

    def owned(self, step: int, segment: int) -> Span:
        """The slots that ``segment`` owns while ``step`` is computed."""
        first, last = 0, self.boundary.num_slots
        if segment > 0:
            first = self._slot(step, segment - 1)
        if segment < len(self.borders):
            last = self._slot(step, segment)
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

    def _slot(self, step: int, border: int) -> int:
        number = (self.borders[border] + self.turns[step]) // len(self.turns)
        return self.boundary.border(step, number)


def max_segments(boundary: Boundary) -> int:
    """The most segments that this video can be cut into."""
    if boundary.num_borders == 0:
        return 1
    return 2 + (boundary.num_borders - 1) // boundary.min_cores


def cut(boundary: Boundary, num_segments: int, num_steps: int) -> Partition:
    """Cut a video so that the segment with most windows, over all steps, has as few as can be.

    That is the mean over the segments, rounded up, unless ``min_cores`` a step are more. Where the
    grid stands still, so do the borders, and the mean of one step is rounded up.

    More segments than the video can bear are an honest wish: the cut then has fewer.

    Args:
        boundary: the mode, laid out over the video.
        num_segments: how many are wanted, at least 1.
        num_steps: denoising steps, at least 1.
    """
    assert num_segments >= 1, f"num_segments = {num_segments}"
    count = min(num_segments, max_segments(boundary))
    turns = _turns(boundary, num_steps)
    if count == 1:
        return Partition(boundary, (), turns)
    line = _line_up(boundary, num_steps)
    total = line.num_windows + 2 * line.num_straddling * (count - 1)
    # Where the grid stands still a border has the same number at every step.
    unit = num_steps if line.is_still else 1
    borders: list[int] = []
    place = 0
    for segment in range(1, count):
        lowest = place + num_steps * (boundary.min_cores if borders else 1)
        behind = num_steps * (1 + boundary.min_cores * (count - 1 - segment))
        share = total * segment // (count * unit) * unit
        wish = share - (2 * segment - 1) * line.num_straddling
        place = max(lowest, min(wish, line.num_windows - behind))
        borders.append(place - line.num_early)
    return Partition(boundary, tuple(borders), turns)


@dataclass(frozen=True, slots=True)
class _Line:
    """The windows of all steps, ordered by where their cores begin.

    Attributes:
        num_windows: in all.
        num_early: left of border 1, beyond one a step.
        num_straddling: that either side of a border computes of the other's, over all steps.
        is_still: whether the grid never moves.
    """

    num_windows: int
    num_early: int
    num_straddling: int
    is_still: bool


def _line_up(boundary: Boundary, num_steps: int) -> _Line:
    total = early = straddling = 0
    firsts = [boundary.border(step, 1) for step in range(num_steps)]
    for step, first in enumerate(firsts):
        windows = boundary.windows(step, Span(0, boundary.num_slots))
        total += len(windows)
        early += sum(window.core.start < first for window in windows) - 1
        straddling += len(boundary.windows(step, Span(first, first + 1))) - 1
    return _Line(total, early, straddling, is_still=len(set(firsts)) == 1)


def _turns(boundary: Boundary, num_steps: int) -> tuple[int, ...]:
    """Of each step; of two with the same grid the later one comes first."""
    line = sorted(range(num_steps), key=lambda step: (boundary.border(step, 1), step), reverse=True)
    turns = dict(zip(line, range(num_steps), strict=True))
    return tuple(turns[step] for step in range(num_steps))
