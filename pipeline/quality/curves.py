"""What is measured of every frame, in one pass over the video.

A video is gone through once and never held: of each frame a dozen numbers are kept, and four times
a second a thumbnail of 8 x 8. Half an hour comes to some 8 MB.

Energies are mean squares over pixels, in 8-bit levels, kept as logarithms. A value at frame t is of
what leads to it: the difference at t is between frames t - 1 and t. Where there is none, it is NaN.

Shape suffixes: H height, W width, N frames, K thumbnails; the last axis of pictures is RGB.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.errors import VideoFileError
from pipeline.quality.warp import warp_energy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# Two frames that differ in rounding alone differ by this energy: 8-bit levels are rounded to whole
# numbers, which is an error of variance 1/12 in each of the two. Without it, the logarithm would
# take frames that no eye can tell apart for infinitely different.
ROUNDING_ENERGY = 2 / 12

# Colours and contrast are those of the picture at about this size: they need no more.
SMALL_SIDE_PX = 128
THUMBNAIL_PX = 8
THUMBNAILS_PER_S = 4

# A pixel is at the end of its scale within this many levels: limited-range video rounds.
END_LEVELS = 2
# Limited-range black decodes to nearly 0; a night scene has some light in it.
BLACK_LEVEL = 8

MIN_NUM_FRAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Everything that is kept of a video; arrays of ``[N]`` unless said otherwise.

    Attributes:
        fps: frames per second.
        size_px: width and height.
        difference: log energy of the first difference in time.
        second_difference: log energy of the second difference in time.
        detail: log energy of the Laplacian in space.
        warp_error: log energy of what motion compensation leaves; only at the frames asked for.
        lab: mean L*, a*, b*, ``[N, 3]``.
        saturation: mean chroma.
        contrast: standard deviation of L*.
        lit: share of pixels that are not black.
        clipped: share of pixels that have all channels at an end of their scale and are not black.
        thumbnails: pictures of 8 x 8 at ``thumbnails_per_s``, levels 0 to 1, ``[K, 8, 8, 3]``.
        thumbnails_per_s: rate of the thumbnails.
    """

    fps: float
    size_px: tuple[int, int]
    difference: NDArray[np.float64]
    second_difference: NDArray[np.float64]
    detail: NDArray[np.float64]
    warp_error: NDArray[np.float64]
    lab: NDArray[np.float64]
    saturation: NDArray[np.float64]
    contrast: NDArray[np.float64]
    lit: NDArray[np.float64]
    clipped: NDArray[np.float64]
    thumbnails: NDArray[np.float32]
    thumbnails_per_s: float

    @property
    def num_frames(self) -> int:
        """Length of the video."""
        return len(self.difference)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """When each frame is shown."""
        return np.arange(self.num_frames) / self.fps


def trace(
    frames: Iterable[NDArray[np.uint8]], fps: float, warp_at: frozenset[int] = frozenset()
) -> Curves:
    """Go through a video once.

    Args:
        frames: pictures ``[H, W, 3]`` of RGB bytes, all of one size.
        fps: frames per second.
        warp_at: the frames at which the warp error is computed; it is the dear part.

    Raises:
        VideoFileError: fewer than three frames, or a frame of another size than the first.
    """
    tracer = _Tracer(fps, warp_at)
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # optical flow depends on how it is split among threads
    try:
        for frame_HW3 in frames:
            tracer.push(frame_HW3)
    finally:
        cv2.setNumThreads(num_threads)
    return tracer.curves()


@dataclass(slots=True)
class _Tracer:
    """Takes frames one by one; holds the last frame and the last difference."""

    fps: float
    warp_at: frozenset[int]
    num_frames: int = 0
    values: array[float] = field(default_factory=lambda: array("d"))
    thumbnails: list[NDArray[np.float32]] = field(default_factory=list)
    last: _Picture | None = None
    last_change: NDArray[np.int16] | None = None

    @property
    def every(self) -> int:
        """Frames from one thumbnail to the next."""
        return max(1, round(self.fps / THUMBNAILS_PER_S))

    def push(self, frame_HW3: NDArray[np.uint8]) -> None:
        """Measure the next frame."""
        index, picture = self.num_frames, _Picture.of(frame_HW3)
        if self.last is not None and self.last.rgb.shape != picture.rgb.shape:
            raise VideoFileError(
                f"frame {index} is of shape {picture.rgb.shape}, the one before it of "
                f"{self.last.rgb.shape}"
            )
        if index % self.every == 0:
            self.thumbnails.append(_resized(picture.small, THUMBNAIL_PX, THUMBNAIL_PX))
        self.values.extend((*self._change(picture), self._warp(index, picture), *_look(picture)))
        self.last, self.num_frames = picture, index + 1

    def curves(self) -> Curves:
        """All that was measured."""
        if self.last is None or self.num_frames < MIN_NUM_FRAMES:
            raise VideoFileError(
                f"the video has {self.num_frames} frames, expected at least {MIN_NUM_FRAMES}"
            )
        height, width = self.last.rgb.shape[:2]
        columns = np.array(self.values).reshape(self.num_frames, -1).T
        return Curves(
            fps=self.fps,
            size_px=(width, height),
            difference=columns[0],
            second_difference=columns[1],
            warp_error=columns[2],
            detail=columns[3],
            lab=columns[4:7].T,
            saturation=columns[7],
            contrast=columns[8],
            lit=columns[9],
            clipped=columns[10],
            thumbnails=np.stack(self.thumbnails),
            thumbnails_per_s=self.fps / self.every,
        )

    def _change(self, picture: _Picture) -> tuple[float, float]:
        """Log energies of the first and the second difference."""
        if self.last is None:
            return np.nan, np.nan
        change = picture.rgb.astype(np.int16) - self.last.rgb
        second = np.nan if self.last_change is None else _log_energy(change - self.last_change)
        self.last_change = change
        return _log_energy(change), second

    def _warp(self, index: int, picture: _Picture) -> float:
        if self.last is None or index not in self.warp_at:
            return np.nan
        return float(np.log(warp_energy(self.last.luma, picture.luma) + ROUNDING_ENERGY))


@dataclass(frozen=True, slots=True)
class _Picture:
    """One frame: as it is, its luma, and itself in small with levels from 0 to 1."""

    rgb: NDArray[np.uint8]
    luma: NDArray[np.uint8]
    small: NDArray[np.float32]

    @classmethod
    def of(cls, frame_HW3: NDArray[np.uint8]) -> _Picture:
        height, width = frame_HW3.shape[:2]
        scale = min(1.0, SMALL_SIDE_PX / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(frame_HW3, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        luma = cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        return cls(frame_HW3, luma, small / 255)


def _look(picture: _Picture) -> tuple[float, ...]:
    """Detail, mean L*, a*, b*, saturation, contrast, lit share, clipped share."""
    laplacian = cv2.Laplacian(picture.luma, cv2.CV_16S, ksize=1)
    lab = cv2.cvtColor(picture.small, cv2.COLOR_RGB2Lab).reshape(-1, 3).astype(np.float64)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    stride = max(1, max(picture.luma.shape) // SMALL_SIDE_PX)
    sample = picture.rgb[::stride, ::stride]
    lit = sample.max(axis=-1) > BLACK_LEVEL
    at_end = ((sample <= END_LEVELS) | (sample >= 255 - END_LEVELS)).all(axis=-1)
    return (
        _log_energy(laplacian),
        *lab.mean(axis=0),
        chroma.mean(),
        lab[:, 0].std(),
        lit.mean(),
        (lit & at_end).mean(),
    )


def _log_energy(change: NDArray[np.int16]) -> float:
    """Log of the mean square, no less than rounding alone would make it."""
    return float(np.log(cv2.norm(change, cv2.NORM_L2SQR) / change.size + ROUNDING_ENERGY))


def _resized(picture: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)
