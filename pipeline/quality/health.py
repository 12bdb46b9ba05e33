"""Is this a picture at all? Shares of frames in which it is plainly not, and the largest jump.

Each share has a meaning so narrow that a dark, slow or plain scene does not fall under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.quality.curves import ROUNDING_ENERGY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quality.curves import Curves

# Black: not one pixel in a thousand is lit. A night with stars, a lamp or a grey sky is not black.
MAX_LIT_SHARE_OF_BLACK = 0.001

# Flat: lightness varies by less than one 8-bit level over the picture: one colour, whichever.
MAX_CONTRAST_OF_FLAT = 0.4

# Saturated: four pixels in five have every channel at an end of its scale.
MIN_CLIPPED_SHARE_OF_SATURATED = 0.8

# Frozen: less than one level's change in a hundred samples: not even grain moves.
MAX_ENERGY_OF_FROZEN = 0.01

# A jump is held against the half second or so around it, and against what an eye can see at all.
JUMP_REACH_FRAMES = 8
VISIBLE_ENERGY = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Figures of a video that is judged without knowing what it should show.

    Attributes:
        black_share: frames without light.
        flat_share: frames of a single colour, black among them.
        saturated_share: frames nearly all of whose pixels are clipped.
        frozen_share: frames that are the one before.
        longest_frozen_s: the longest time without any change.
        largest_jump: largest difference energy over the median around it.
        largest_jump_s: when that is.
    """

    black_share: float
    flat_share: float
    saturated_share: float
    frozen_share: float
    longest_frozen_s: float
    largest_jump: float
    largest_jump_s: float


def health(curves: Curves) -> Health:
    """Count and compare."""
    frozen = np.exp(curves.difference[1:]) < MAX_ENERGY_OF_FROZEN + ROUNDING_ENERGY
    jumps = _jumps(curves.difference[1:])
    return Health(
        black_share=float((curves.lit <= MAX_LIT_SHARE_OF_BLACK).mean()),
        flat_share=float((curves.contrast < MAX_CONTRAST_OF_FLAT).mean()),
        saturated_share=float((curves.clipped >= MIN_CLIPPED_SHARE_OF_SATURATED).mean()),
        frozen_share=float(frozen.mean()),
        longest_frozen_s=_longest_run(frozen) / curves.fps,
        largest_jump=float(jumps.max()),
        largest_jump_s=float((1 + jumps.argmax()) / curves.fps),
    )


def _jumps(log_difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy over the median of what is within reach, both with the least visible energy added."""
    energy = np.exp(log_difference) + VISIBLE_ENERGY
    reach = min(JUMP_REACH_FRAMES, (len(energy) - 1) // 2)
    padded = np.pad(energy, reach, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(energy / np.median(around, axis=1))


def _longest_run(flags: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
