"""What can be seen: a scene of the procedural world, as plain values.

A scene says everything about an endless video; ``pipeline.world.render`` shows it at any time. The
seven named attributes are what captions speak of. The numbers beside them (phases, offsets) tell
two scenes with the same caption apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Daytime = Literal["dawn", "day", "dusk", "night"]
Ground = Literal["meadow", "desert", "snow", "sea"]
Weather = Literal["clear", "rain", "snow"]
Camera = Literal["still", "left", "right"]
Shape = Literal["ball", "cube", "star", "balloon", "heart"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
Motion = Literal["bounces", "floats", "rolls", "orbits"]

DAYTIMES: tuple[Daytime, ...] = get_args(Daytime)
GROUNDS: tuple[Ground, ...] = get_args(Ground)
WEATHERS: tuple[Weather, ...] = get_args(Weather)
CAMERAS: tuple[Camera, ...] = get_args(Camera)
SHAPES: tuple[Shape, ...] = get_args(Shape)
COLOURS: tuple[Colour, ...] = get_args(Colour)
MOTIONS: tuple[Motion, ...] = get_args(Motion)

# Half of all scenes are clear: rain and snow cover what they fall on.
WEATHER_ODDS = (0.5, 0.25, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One endless scene.

    Attributes:
        daytime: light and sky; the sun stands in it, at night the moon.
        ground: what covers the lower third.
        weather: what falls from the sky, if anything.
        camera: where the camera pans to, or ``still``.
        shape: form of the thing.
        colour: colour of the thing.
        motion: how the thing moves.
        phase: where in its motion the thing is at t = 0, in turns [0, 1).
        offset: shifts the middle of the motion sideways, in [-1, 1].
        place: where along the endless landscape the camera starts, in frame heights.
        weather_seed: chooses where drops and flakes fall.
    """

    daytime: Daytime
    ground: Ground
    weather: Weather
    camera: Camera
    shape: Shape
    colour: Colour
    motion: Motion
    phase: float = 0.0
    offset: float = 0.0
    place: float = 0.0
    weather_seed: int = 0


def sample_scene(seed: int) -> Scene:
    """The scene with number ``seed``, every attribute drawn by itself."""
    rng = np.random.default_rng(seed)
    return Scene(
        daytime=DAYTIMES[rng.integers(len(DAYTIMES))],
        ground=GROUNDS[rng.integers(len(GROUNDS))],
        weather=WEATHERS[rng.choice(len(WEATHERS), p=WEATHER_ODDS)],
        camera=CAMERAS[rng.integers(len(CAMERAS))],
        shape=SHAPES[rng.integers(len(SHAPES))],
        colour=COLOURS[rng.integers(len(COLOURS))],
        motion=MOTIONS[rng.integers(len(MOTIONS))],
        phase=float(rng.uniform()),
        offset=float(rng.uniform(-1.0, 1.0)),
        place=float(rng.uniform(0.0, 100.0)),
        weather_seed=int(rng.integers(2**31)),
    )
