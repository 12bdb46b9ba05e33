"""A stack of frames that layers are painted onto, from back to front, anti-aliased.

Shapes: F times, H rows, W columns; colours are RGB in [0, 1]; lengths in frame heights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


class Canvas:
    """``frames`` pictures of ``height`` x ``width`` pixels.

    Attributes:
        x, y: where each pixel's middle lies, ``[1, H, W]``, in frame heights from the upper left.
        aspect: width over height.
    """

    def __init__(self, frames: int, height: int, width: int) -> None:
        self.aspect = width / height
        rows = ((np.arange(height) + 0.5) / height).astype(np.float32)
        columns = ((np.arange(width) + 0.5) / height).astype(np.float32)
        self.y: Field = np.broadcast_to(rows[None, :, None], (1, height, width)).copy()
        self.x: Field = np.broadcast_to(columns[None, None, :], (1, height, width)).copy()
        self._frames = frames
        self._height = height
        self._image: Field = np.zeros((1, height, width, 3), dtype=np.float32)

    def fill(self, colour: Field) -> None:
        """Paint everything with ``colour``, ``[3]`` or ``[1, H, W, 3]``."""
        self._image = np.broadcast_to(colour, self._image.shape).astype(np.float32)

    def inside(self, distance: Field) -> Field:
        """How much of each pixel is covered, 0 to 1, given the signed ``distance`` to an edge."""
        coverage: Field = np.clip(0.5 - distance * self._height, 0.0, 1.0).astype(np.float32)
        return coverage

    def blend(self, colour: Field, alpha: Field) -> None:
        """Lay ``colour``, ``[3]`` or ``[F, H, W, 3]``, over all with ``alpha``, ``[F, H, W]``.

        While everything painted has F = 1, so has the picture: what stands still is painted once.
        """
        self._image = self._image + (colour - self._image) * alpha[..., None]

    def pixels(self) -> NDArray[np.uint8]:
        """The finished frames, ``[F, H, W, 3]`` RGB bytes."""
        image = np.clip(self._image, 0.0, 1.0) * 255.0 + 0.5
        frames = np.broadcast_to(image, (self._frames, *image.shape[1:]))
        return frames.astype(np.uint8)
