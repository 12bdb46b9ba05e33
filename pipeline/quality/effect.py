"""How much stronger something is at the joins than beside them, and how sure that is.

Every join is held against its own surroundings: the mean logarithm at the join minus the mean of
the logarithms beside it, the two sides counting alike. So what a scene does by itself, a slow pan
or a day that ends, cancels out, and what is left scatters about the seam. The interval is
Student's, over the joins of a video, or over the videos where there are several.

Two-sided: a hard cut makes differences larger (ratio above 1), a cross-fade smaller (below 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.quality.joins import Join, Joins

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Effect:
    """A ratio; 1 is no seam.

    Attributes:
        ratio: the best guess.
        low, high: the 95 % interval; ``0`` and ``inf`` where a single value tells nothing.
        count: joins or videos that it is made of.
    """

    ratio: float
    low: float
    high: float
    count: int

    @property
    def log_ratio(self) -> float:
        """What is averaged over videos."""
        return math.log(self.ratio)

    def is_within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies within these bounds."""
        return low <= self.low and self.high <= high

    @property
    def tells_a_seam(self) -> bool:
        """Whether the interval leaves 1 out."""
        return not self.low <= 1.0 <= self.high


def join_effect(
    log_values: NDArray[np.float64], joins: Joins, offsets: Sequence[int] = (0,)
) -> Effect | None:
    """The ratio at joins over beside them; ``None`` where nothing can be compared.

    Args:
        log_values: a logarithm per frame, ``[N]``; NaN where there is none.
        joins: where windows meet.
        offsets: the frames of a join that show it, counted from each of ``Join.frames``.
    """
    contrasts = [_contrast(log_values, join, offsets) for join in joins.joins]
    return mean_effect([contrast for contrast in contrasts if math.isfinite(contrast)])


def mean_effect(log_ratios: Sequence[float]) -> Effect | None:
    """Student's interval about the mean of independent logarithms; ``None`` if there are none."""
    count = len(log_ratios)
    if count == 0:
        return None
    mean = float(np.mean(log_ratios))
    if count == 1:
        return Effect(math.exp(mean), 0.0, math.inf, 1)
    error = float(np.std(log_ratios, ddof=1)) / math.sqrt(count)
    reach = student_quantile(CONFIDENCE, count - 1) * error
    return Effect(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), count)


@lru_cache(maxsize=256)
def student_quantile(confidence: float, degrees: int) -> float:
    """The t that a Student variable stays below in absolute value with that probability.

    With ``t = sqrt(n) tan(u)`` the density becomes ``cos(u)**(n - 1)`` on a finite interval, which
    is summed by the midpoint rule.
    """
    edges = np.linspace(0.0, math.pi / 2, 100_001)
    weight = np.cos((edges[1:] + edges[:-1]) / 2) ** (degrees - 1)
    share = np.concatenate([[0.0], np.cumsum(weight)]) / weight.sum()
    return math.sqrt(degrees) * math.tan(float(np.interp(confidence, share, edges)))


def _contrast(log_values: NDArray[np.float64], join: Join, offsets: Sequence[int]) -> float:
    at_join = _mean(log_values, join.frames, offsets)
    sides = [_mean(log_values, frames, offsets) for frames in (join.before, join.after)]
    known = [side for side in sides if math.isfinite(side)]
    return at_join - sum(known) / len(known) if known else math.nan


def _mean(log_values: NDArray[np.float64], frames: Sequence[int], offsets: Sequence[int]) -> float:
    """The mean over those frames that exist; NaN if none do."""
    indices = [frame + offset for frame in frames for offset in offsets]
    inside = [index for index in indices if 0 <= index < len(log_values)]
    values = log_values[inside]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan
