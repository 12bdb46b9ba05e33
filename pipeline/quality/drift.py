"""What a video turns into over minutes: colours that wander, contrast that grows, repetition.

Drift is not a fault by itself (a day that ends is drift), so these figures are for comparing
renders of the same prompts, and none of them is judged alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pipeline.quality.curves import Curves

NUM_LAGS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How one measure goes over the video.

    Attributes:
        mean: over all frames.
        per_minute: slope of the straight line that fits best.
        first_to_last: mean of the last quarter minus mean of the first.
    """

    mean: float
    per_minute: float
    first_to_last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All trends of a video.

    Attributes:
        lightness, green_red, blue_yellow: means of L* (0 black, 100 white), a* and b*.
        saturation: mean chroma, the distance from grey in a*, b*.
        contrast: standard deviation of L*.
        sharpness: log energy of the Laplacian.
        color_distance: from the mean colour of the first quarter to that of the last (CIE 1976);
            2 is just visible side by side.
        correlation: mean correlation of two thumbnails, by the seconds between them; 1 is the same
            picture, 0 is nothing in common.
    """

    lightness: Trend
    green_red: Trend
    blue_yellow: Trend
    saturation: Trend
    contrast: Trend
    sharpness: Trend
    color_distance: float
    correlation: tuple[tuple[float, float], ...]

    @property
    def trends(self) -> Mapping[str, Trend]:
        """The trends by name."""
        names = (
            *("lightness", "green_red", "blue_yellow"),
            *("saturation", "contrast", "sharpness"),
        )
        return {name: getattr(self, name) for name in names}


def drift(curves: Curves) -> Drift:
    """Fit all trends."""
    lightness, green_red, blue_yellow = (
        trend(curves.lab[:, axis], curves.fps) for axis in range(3)
    )
    steps = [t.first_to_last for t in (lightness, green_red, blue_yellow)]
    return Drift(
        lightness=lightness,
        green_red=green_red,
        blue_yellow=blue_yellow,
        saturation=trend(curves.saturation, curves.fps),
        contrast=trend(curves.contrast, curves.fps),
        sharpness=trend(curves.detail, curves.fps),
        color_distance=float(np.linalg.norm(steps)),
        correlation=correlation_by_lag(curves.thumbnails, curves.thumbnails_per_s),
    )


def trend(values: NDArray[np.float64], fps: float) -> Trend:
    """The trend of a measure ``[N]``, one value per frame."""
    minutes = np.arange(len(values)) / fps / 60
    centred = minutes - minutes.mean()
    quarter = max(1, len(values) // 4)
    return Trend(
        mean=float(values.mean()),
        per_minute=float(centred @ (values - values.mean()) / (centred @ centred)),
        first_to_last=float(values[-quarter:].mean() - values[:quarter].mean()),
    )


def correlation_by_lag(
    thumbnails: NDArray[np.float32], per_s: float
) -> tuple[tuple[float, float], ...]:
    """Mean correlation of thumbnails ``[K, ...]``, at lags that grow evenly on a log scale.

    Each thumbnail is centred by itself, so what counts is how light and colour are laid out. The
    longest lag is three quarters of the video: beyond it, too few pairs are left.
    """
    count = len(thumbnails)
    longest = max(1, 3 * count // 4)
    if count < 2:
        return ()
    lags = sorted({round(lag) for lag in np.geomspace(1, longest, NUM_LAGS)})
    flat = thumbnails.reshape(count, -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    # A flat picture has no layout; it correlates with nothing.
    unit = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 1e-9)
    return tuple(
        (lag / per_s, float((unit[:-lag] * unit[lag:]).sum(axis=1).mean())) for lag in lags
    )
