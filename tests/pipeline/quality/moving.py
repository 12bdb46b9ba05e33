"""Moving noise with known statistics, and joins planted in it.

Every pixel is a stationary AR(1) process in time, ``x[t] = rho x[t - 1] + sqrt(1 - rho^2) e[t]``,
so that the energies of its differences, with and without a cut, are known in closed form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.quality.joins import Joins, joins_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

RHO = 0.9
SIGMA_LEVELS = 36.0
FPS = 16.0
RHYTHM = 4

# The ratios that a cut makes: 2 over 2 (1 - rho), and the same for the second difference.
CUT_DIFFERENCE = 1 / (1 - RHO)
CUT_SECOND_DIFFERENCE = (6 - 4 * RHO) / (2 * (1 - RHO) * (3 - RHO))


def moving_noise(
    num_frames: int,
    *,
    cuts: Sequence[int] = (),
    fades: Sequence[int] = (),
    rhos: Sequence[float] = (RHO,),
    side_px: int = 32,
    seed: int = 0,
) -> Iterator[NDArray[np.uint8]]:
    """Frames of noise.

    ``cuts`` are first frames of a fresh process. At ``fades`` another process begins to be mixed
    in, a quarter more every four frames. ``rhos`` is gone through frame by frame, frame 1 first.
    """
    rng = np.random.default_rng(seed)
    size = (side_px, side_px, 3)
    x, other = rng.standard_normal(size), rng.standard_normal(size)
    share, fading_from = 0.0, num_frames
    for index in range(num_frames):
        rho = rhos[(index - 1) % len(rhos)]
        fresh = np.sqrt(1 - rho**2)
        if index in cuts:
            x = rng.standard_normal(size)
        elif index:
            x = rho * x + fresh * rng.standard_normal(size)
            other = rho * other + fresh * rng.standard_normal(size)
        if index in fades:
            fading_from = index
        share = min(4, max(0, 1 + (index - fading_from) // RHYTHM)) / 4
        yield _bytes((1 - share) * x + share * other)
        if share == 1.0:
            x, other = other, rng.standard_normal(size)
            fading_from = num_frames


def _bytes(x: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(128 + SIGMA_LEVELS * x), 0, 255).astype(np.uint8)


def every(period: int, num_frames: int, first: int = 37) -> Joins:
    """Joins that are borders, at equal distances."""
    return joins_at([(frame,) for frame in range(first, num_frames, period)], num_frames, RHYTHM)
