"""A straight line through times: a fixed part and so much per second of video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Line:
    """``fixed + slope * x``."""

    fixed: float
    slope: float

    def at(self, x: float) -> float:
        """Its height."""
        return self.fixed + self.slope * x

    def per_second(self, x: float, y: float) -> float:
        """What each second costs in a measured ``y``, with the fixed part taken off."""
        return (y - self.fixed) / x


def fit(points: Mapping[float, float]) -> Line:
    """The line of least squares of *relative* deviations, so that short videos count as much.

    Otherwise the fixed part would be whatever an error of a percent in the longest makes of it.
    """
    x, y = np.array(list(points)), np.array(list(points.values()))
    slope, fixed = np.polynomial.polynomial.polyfit(x, y, 1, w=1.0 / y)[::-1]
    return Line(fixed=float(fixed), slope=float(slope))
