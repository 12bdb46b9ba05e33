"""The colours of the world: RGB in [0, 1], as fp32 arrays ``[3]``.

Chosen so that no two attributes can be taken for each other: dawn is pale blue over rose, dusk is
violet over orange; the eight colours of things stay apart in every light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.world.scene import Colour, Daytime, Ground, Weather


def rgb(red: int, green: int, blue: int) -> NDArray[np.float32]:
    """A colour from bytes."""
    return np.array([red, green, blue], dtype=np.float32) / np.float32(255.0)


@dataclass(frozen=True, slots=True)
class Sky:
    """Light of one time of day: the sky's two ends, the disc in it, and its tint on the land.

    ``disc_x`` is in frame widths from the left, ``disc_y`` in frame heights from the top.
    """

    top: NDArray[np.float32]
    horizon: NDArray[np.float32]
    disc: NDArray[np.float32]
    light: NDArray[np.float32]
    disc_x: float
    disc_y: float
    disc_radius: float


SKIES: Mapping[Daytime, Sky] = {
    "dawn": Sky(
        rgb(120, 165, 225),
        rgb(255, 190, 190),
        rgb(255, 246, 190),
        rgb(250, 220, 225),
        0.16,
        0.42,
        0.13,
    ),
    "day": Sky(
        rgb(45, 130, 235),
        rgb(170, 225, 252),
        rgb(255, 238, 110),
        rgb(255, 255, 255),
        0.82,
        0.18,
        0.12,
    ),
    "dusk": Sky(
        rgb(75, 45, 125), rgb(255, 140, 60), rgb(255, 80, 45), rgb(205, 150, 165), 0.84, 0.42, 0.14
    ),
    "night": Sky(
        rgb(6, 10, 38), rgb(32, 48, 105), rgb(245, 243, 220), rgb(100, 118, 178), 0.18, 0.19, 0.12
    ),
}

# Ground, then the hills before and behind it, as they look by day.
LANDS: Mapping[Ground, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]] = {
    "meadow": (rgb(105, 190, 75), rgb(62, 142, 82), rgb(92, 150, 140)),
    "desert": (rgb(236, 190, 105), rgb(212, 138, 80), rgb(190, 120, 110)),
    "snow": (rgb(240, 246, 255), rgb(185, 205, 230), rgb(150, 175, 210)),
    "sea": (rgb(22, 110, 175), rgb(70, 110, 120), rgb(110, 140, 165)),
}

THINGS: Mapping[Colour, NDArray[np.float32]] = {
    "red": rgb(225, 25, 35),
    "orange": rgb(255, 130, 0),
    "yellow": rgb(255, 225, 20),
    "green": rgb(20, 160, 50),
    "blue": rgb(25, 70, 230),
    "purple": rgb(135, 40, 190),
    "pink": rgb(255, 120, 190),
    "white": rgb(250, 250, 250),
}

# What an overcast sky turns to, and how far.
CLOUDS: Mapping[Weather, tuple[NDArray[np.float32], float]] = {
    "clear": (rgb(255, 255, 255), 0.0),
    "rain": (rgb(105, 118, 138), 0.5),
    "snow": (rgb(205, 213, 226), 0.4),
}

RAINDROP = rgb(205, 225, 250)
SNOWFLAKE = rgb(255, 255, 255)
