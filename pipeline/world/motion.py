"""Where the thing is at time t. Periodic, so that a video never ends.

Lengths are in frame heights: x runs from 0 to the aspect ratio, y from 0 (top) to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.world.scene import Scene

# The thing's radius, and the height at which it rests on the ground.
RADIUS = 0.175
REST_Y = 0.90 - RADIUS
# Seconds for one turn of each motion.
PERIODS_S = {"bounces": 2.0, "floats": 5.0, "rolls": 6.0, "orbits": 4.5}
TURN = 2.0 * np.pi


@dataclass(frozen=True, slots=True)
class Pose:
    """The thing's centre, in frame heights, and its angle, in radians, one per time, ``[F]``."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]


def pose(scene: Scene, times_s: NDArray[np.float64], aspect: float) -> Pose:
    """Where the thing of ``scene`` is at ``times_s`` ``[F]``; ``aspect`` is width over height."""
    turns = times_s / PERIODS_S[scene.motion] + scene.phase
    middle = aspect / 2 + 0.12 * scene.offset
    sway = np.sin(TURN * turns)
    still = np.zeros_like(turns)
    if scene.motion == "bounces":
        height = 0.46 * np.abs(np.sin(np.pi * turns))
        return Pose(middle + still, REST_Y - height, still)
    if scene.motion == "floats":
        return Pose(middle + 0.14 * sway, 0.34 + 0.08 * np.sin(2 * TURN * turns), 0.15 * sway)
    if scene.motion == "rolls":
        x = 0.52 * sway
        return Pose(middle + x, REST_Y + still, x / RADIUS)
    return Pose(middle + 0.45 * np.cos(TURN * turns), 0.46 + 0.24 * sway, still)
