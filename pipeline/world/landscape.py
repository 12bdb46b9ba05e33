"""Sky, hills and ground: everything that stands still in the world while the camera passes.

Lengths are in frame heights. Shapes: F times, H rows, W columns; colours are RGB in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.world.palette import CLOUDS, LANDS, SKIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.world.canvas import Canvas
    from pipeline.world.scene import Camera, Scene

    Field = NDArray[np.float32]

HORIZON_Y = 0.66
# Frame heights per second that the camera travels over the near ground.
PAN_SPEED = 0.36
DIRECTION: dict[Camera, float] = {"still": 0.0, "left": -1.0, "right": 1.0}
# How fast a layer passes compared with the near ground: far things pass slowly.
FAR_PARALLAX = 0.3
NEAR_PARALLAX = 0.6
TURN = 2.0 * np.pi


def travelled(scene: Scene, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the camera has moved over the near ground, in frame heights, ``[F]``."""
    return DIRECTION[scene.camera] * PAN_SPEED * times_s


def paint_sky(canvas: Canvas, scene: Scene) -> None:
    """The sky's gradient under the weather's clouds, with the sun or the moon."""
    sky = SKIES[scene.daytime]
    cloud, cover = CLOUDS[scene.weather]
    cloud = cloud * (0.25 + 0.75 * sky.light)
    height = np.clip(canvas.y / HORIZON_Y, 0.0, 1.0)[..., None]
    gradient = sky.top + (sky.horizon - sky.top) * height
    canvas.fill(gradient + (cloud - gradient) * cover)
    distance = np.hypot(canvas.x - sky.disc_x * canvas.aspect, canvas.y - sky.disc_y)
    halo = np.exp(-np.square(distance / (2.2 * sky.disc_radius))) * 0.35 * (1.0 - cover)
    alpha = canvas.inside(distance - sky.disc_radius)
    if scene.daytime == "night":
        bite_x = canvas.x - sky.disc_x * canvas.aspect - 0.07
        bite = canvas.inside(np.hypot(bite_x, canvas.y - sky.disc_y + 0.03) - sky.disc_radius)
        alpha = alpha * (1.0 - bite)
    canvas.blend(sky.disc, np.maximum(halo, alpha * (1.0 - 0.7 * cover)))


def paint_hills(canvas: Canvas, scene: Scene, times_s: NDArray[np.float64]) -> None:
    """Two ranges of hills, the far one paler and slower."""
    sky = SKIES[scene.daytime]
    _, near, far = LANDS[scene.ground]
    haze = 0.35 * sky.horizon + 0.65 * far * sky.light
    low = 0.55 if scene.ground == "sea" else 1.0
    way = travelled(scene, times_s)[:, None, None]
    x_far = canvas.x + (scene.place + way) * FAR_PARALLAX
    x_near = canvas.x + (scene.place + way) * NEAR_PARALLAX
    far_y = HORIZON_Y - low * (0.15 + 0.055 * _waves(x_far, 1.4, 0.83))
    near_y = HORIZON_Y - low * (0.06 + 0.045 * _waves(x_near + 7.0, 1.0, 0.57))
    canvas.blend(haze, canvas.inside(far_y - canvas.y))
    canvas.blend(near * sky.light, canvas.inside(near_y - canvas.y))


def paint_ground(canvas: Canvas, scene: Scene, times_s: NDArray[np.float64]) -> None:
    """The ground, brighter towards the viewer, with broad waves that pass as the camera moves."""
    sky = SKIES[scene.daytime]
    base = LANDS[scene.ground][0] * sky.light
    depth = np.clip((canvas.y - HORIZON_Y) / (1.0 - HORIZON_Y), 0.0, 1.0)
    # Perspective: the same ground is narrower and slower near the horizon.
    nearness = 0.45 + 0.55 * depth
    way = travelled(scene, times_s)[:, None, None]
    along = (canvas.x - canvas.aspect / 2) / nearness + scene.place + way
    swell = 0.5 * times_s[:, None, None] if scene.ground == "sea" else 0.0
    texture = np.sin(TURN * (along * 0.9 + swell) + 9.0 * depth).astype(np.float32)
    strength = 0.16 if scene.ground == "sea" else 0.09
    bright = (0.82 + 0.2 * depth + strength * texture * nearness)[..., None]
    canvas.blend(base * bright, canvas.inside(HORIZON_Y - canvas.y))


def _waves(x: NDArray[np.float64], slow: float, fast: float) -> Field:
    """Two sines of periods ``slow`` and ``fast``, in frame heights, that share no short one."""
    both = np.sin(TURN * x / slow) + 0.5 * np.sin(TURN * x / fast + 1.0)
    return both.astype(np.float32)
