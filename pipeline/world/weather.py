"""Rain and snow: one drop or flake per cell of a falling lattice, so that the cost is that of one.

Lengths are in frame heights. The lattice stands still sideways, whatever the camera does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.world.palette import RAINDROP, SKIES, SNOWFLAKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.world.canvas import Canvas
    from pipeline.world.scene import Scene

RAIN_SPEED = 0.9
RAIN_SLANT = 0.22
RAIN_COLUMN = 0.15
RAIN_ROW = 0.75
SNOW_SPEED = 0.22
SNOW_COLUMN = 0.24
SNOW_ROW = 0.36
COLUMNS = 64


def paint_weather(canvas: Canvas, scene: Scene, times_s: NDArray[np.float64]) -> None:
    """Whatever falls in ``scene``; nothing if it is clear."""
    rng = np.random.default_rng(scene.weather_seed)
    phases = rng.uniform(size=COLUMNS)
    dim = 0.45 + 0.55 * SKIES[scene.daytime].light
    if scene.weather == "rain":
        canvas.blend(RAINDROP * dim, 0.55 * _rain(canvas, times_s, phases))
    elif scene.weather == "snow":
        canvas.blend(SNOWFLAKE * dim, 0.95 * _snow(canvas, times_s, phases))


def _rain(
    canvas: Canvas, times_s: NDArray[np.float64], phases: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Slanted streaks, ``[F, H, W]``."""
    across = (canvas.x + RAIN_SLANT * canvas.y) / RAIN_COLUMN
    column = np.floor(across).astype(np.int64)
    sideways = (across - column - 0.5) * RAIN_COLUMN
    fallen = (RAIN_SPEED * times_s[:, None, None] / RAIN_ROW) % 1.0
    row = (canvas.y / RAIN_ROW + phases[column % COLUMNS] - fallen) % 1.0
    along = np.abs(row - 0.5) * RAIN_ROW - 0.09
    return canvas.inside(np.maximum(np.abs(sideways) - 0.011, along).astype(np.float32))


def _snow(
    canvas: Canvas, times_s: NDArray[np.float64], phases: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Round flakes that sway as they fall, ``[F, H, W]``."""
    across = canvas.x / SNOW_COLUMN
    column = np.floor(across).astype(np.int64)
    phase = phases[column % COLUMNS]
    time = times_s[:, None, None]
    sway = 0.055 * np.sin(2 * np.pi * (time / 3.0 + phase))
    sideways = (across - column - 0.5) * SNOW_COLUMN - sway
    fallen = (SNOW_SPEED * time / SNOW_ROW) % 1.0
    down = ((canvas.y / SNOW_ROW + phase - fallen) % 1.0 - 0.5) * SNOW_ROW
    return canvas.inside((np.hypot(sideways, down) - 0.032).astype(np.float32))
