"""A scene at any time: pictures from a description, always the same.

Shapes: F times, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.world.canvas import Canvas
from pipeline.world.landscape import paint_ground, paint_hills, paint_sky
from pipeline.world.motion import RADIUS, Pose, pose
from pipeline.world.palette import SKIES, THINGS
from pipeline.world.shapes import FORMS
from pipeline.world.weather import paint_weather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.world.scene import Scene

SHADOW_Y = 0.90


def render(
    scene: Scene,
    times_s: Sequence[float] | NDArray[np.float64],
    height: int = 64,
    width: int = 112,
) -> NDArray[np.uint8]:
    """What ``scene`` looks like at each of ``times_s``, in seconds.

    Any order, any spacing; each frame depends on its own time alone.

    Returns:
        RGB bytes ``[F, height, width, 3]``.
    """
    times = np.asarray(times_s, dtype=np.float64)
    thing = pose(scene, times, width / height)
    return render_things(scene, times, [(scene, thing)], height, width)


def render_things(
    scene: Scene,
    times_s: Sequence[float] | NDArray[np.float64],
    things: Sequence[tuple[Scene, Pose]],
    height: int = 64,
    width: int = 112,
) -> NDArray[np.uint8]:
    """The surroundings of ``scene`` with other things in them: none, several, or moved at will.

    Args:
        scene: the surroundings.
        times_s: when, in seconds, ``[F]``.
        things: from back to front, each with the scene that tells its looks and its poses ``[F]``.
        height: of the frames, in pixels.
        width: of the frames, in pixels.

    Returns:
        RGB bytes ``[F, height, width, 3]``.
    """
    times = np.asarray(times_s, dtype=np.float64)
    canvas = Canvas(len(times), height, width)
    paint_sky(canvas, scene)
    paint_hills(canvas, scene, times)
    paint_ground(canvas, scene, times)
    for looks, thing in things:
        _paint_shadow(canvas, thing)
        _paint_thing(canvas, replace(looks, daytime=scene.daytime), thing)
    paint_weather(canvas, scene, times)
    return canvas.pixels()


def _paint_shadow(canvas: Canvas, thing: Pose) -> None:
    """A soft shadow on the ground below the thing, fainter the higher it is."""
    x, y = (axis[:, None, None].astype(np.float32) for axis in (thing.x, thing.y))
    lift = np.clip((SHADOW_Y - RADIUS - y) / 0.6, 0.0, 1.0)
    spread = np.square((canvas.x - x) / (RADIUS * (1.0 + 0.3 * lift)))
    spread = spread + np.square((canvas.y - SHADOW_Y) / 0.05)
    canvas.blend(np.zeros(3, dtype=np.float32), (0.5 - 0.28 * lift) * np.exp(-spread))


def _paint_thing(canvas: Canvas, scene: Scene, thing: Pose) -> None:
    """The thing itself, mostly out of the light of the hour so that its colour always shows."""
    x, y, angle = (
        axis[:, None, None].astype(np.float32) for axis in (thing.x, thing.y, thing.angle)
    )
    right, down = (canvas.x - x) / np.float32(RADIUS), (canvas.y - y) / np.float32(RADIUS)
    cosine, sine = np.cos(angle), np.sin(angle)
    distance, shade = FORMS[scene.shape](right * cosine + down * sine, down * cosine - right * sine)
    light = 0.6 + 0.4 * SKIES[scene.daytime].light
    colour = np.clip(THINGS[scene.colour] * light * shade[..., None], 0.0, 1.0)
    canvas.blend(colour.astype(np.float32), canvas.inside(distance * np.float32(RADIUS)))
