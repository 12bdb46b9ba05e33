"""What of a frame can't be explained by moving the one before it.

The measure is StreamingT2V's warp error (MAWE, 2403.14773) without learned weights: dense inverse
search (Kroeger et al., 1603.03590; OpenCV's ``DISOpticalFlow``) in both directions, and the energy
left by warping, over the pixels that are seen in both frames.

Shape suffixes: H height, W width; the last axis of a flow is (x, y) in pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Flow is computed at no more than this: motion that matters is seen there, and it costs a fraction.
MAX_SIDE_PX = 320
# The search starts on a coarse picture and fails on one that has no coarser version.
MIN_SIDE_PX = 64

# Forward and backward flow agree on a visible pixel within this (Sundaram et al., ECCV 2010).
RELATIVE_TOLERANCE, TOLERANCE_PX2 = 0.01, 0.5

# Where less than this is seen in both frames, nothing is left of the one before: all pixels count.
MIN_VISIBLE_SHARE = 0.2


def warp_energy(before_HW: NDArray[np.uint8], after_HW: NDArray[np.uint8]) -> float:
    """Mean square, in 8-bit levels, of ``after`` pulled back along the flow minus ``before``."""
    scale = _scale(before_HW.shape)
    if scale != 1.0:
        before_HW, after_HW = (_scaled(picture, scale) for picture in (before_HW, after_HW))
    forward_HW2 = _search().calc(before_HW, after_HW, None)
    backward_HW2 = _search().calc(after_HW, before_HW, None)
    places_HW2 = _grid(before_HW.shape) + forward_HW2
    returned_HW2 = forward_HW2 + _sampled(backward_HW2, places_HW2)
    lengths_HW = (forward_HW2**2).sum(-1) + (_sampled(backward_HW2, places_HW2) ** 2).sum(-1)
    visible_HW = (returned_HW2**2).sum(-1) <= RELATIVE_TOLERANCE * lengths_HW + TOLERANCE_PX2
    inside_HW = _inside(places_HW2)
    visible_HW &= inside_HW
    if visible_HW.mean() < MIN_VISIBLE_SHARE:
        visible_HW = inside_HW if inside_HW.any() else np.ones_like(inside_HW)
    left_HW = _sampled(after_HW.astype(np.float32), places_HW2) - before_HW
    return float((left_HW[visible_HW].astype(np.float64) ** 2).mean())


@lru_cache(maxsize=1)
def _search() -> cv2.DISOpticalFlow:
    search = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
    search.setUseSpatialPropagation(True)
    return search


def _scale(shape: tuple[int, ...]) -> float:
    if max(shape) > MAX_SIDE_PX:
        return max(MAX_SIDE_PX / max(shape), MIN_SIDE_PX / min(shape))
    return max(1.0, MIN_SIDE_PX / min(shape))


def _scaled(picture_HW: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture_HW, None, fx=scale, fy=scale, interpolation=how))


def _grid(shape: tuple[int, ...]) -> NDArray[np.float32]:
    height, width = shape
    return np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def _inside(places_HW2: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = places_HW2.shape[:2]
    x_HW, y_HW = places_HW2[..., 0], places_HW2[..., 1]
    return np.asarray((x_HW >= 0) & (x_HW <= width - 1) & (y_HW >= 0) & (y_HW <= height - 1))


def _sampled(values: NDArray[np.float32], places_HW2: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(
        cv2.remap(values, places_HW2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
