"""What a finished file must be: size, rate and exact number of frames.

Rates are exact rationals, since 23.976 is 24000/1001 and anything else drifts over minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.errors import EncodeError

if TYPE_CHECKING:
    from pipeline.request import VideoRequest

# Rates that broadcast slows down by 1000/1001 and people write with two or three decimals.
NTSC_NOMINAL_FPS = (24, 30, 48, 60, 120)
NTSC_TOLERANCE_FPS = 0.005
MAX_DENOMINATOR = 1001


def exact_rate(fps: float) -> Fraction:
    """The rational rate that is meant by ``fps``: 23.976 is 24000/1001, 12.5 is 25/2.

    Raises:
        EncodeError: ``fps`` is no positive finite number.
    """
    if not math.isfinite(fps) or fps <= 0:
        raise EncodeError(f"fps = {fps!r}: expected a positive finite number of frames per second")
    for nominal in NTSC_NOMINAL_FPS:
        slowed = Fraction(nominal * 1000, 1001)
        if abs(fps - slowed) < NTSC_TOLERANCE_FPS:
            return slowed
    return Fraction(fps).limit_denominator(MAX_DENOMINATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """Size, rates and length of one video.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        num_frames: frames as the engine makes them, at ``engine_fps``.
        engine_fps: frames per second of what is written.
        fps: frames per second of the finished file; where it differs from ``engine_fps``, frames
            are repeated or dropped so that the duration stays.
    """

    width: int
    height: int
    num_frames: int
    engine_fps: float
    fps: float

    def __post_init__(self) -> None:
        for name in ("width", "height", "num_frames"):
            if getattr(self, name) < 1:
                raise EncodeError(f"{name} = {getattr(self, name)}: expected at least 1")
        exact_rate(self.engine_fps)
        exact_rate(self.fps)

    @classmethod
    def of(cls, request: VideoRequest) -> VideoFormat:
        """What the file of this request must be."""
        return cls(
            width=request.width,
            height=request.height,
            num_frames=request.num_frames,
            engine_fps=request.engine_fps,
            fps=request.fps,
        )

    @property
    def engine_rate(self) -> Fraction:
        """Exact frames per second of what is written."""
        return exact_rate(self.engine_fps)

    @property
    def rate(self) -> Fraction:
        """Exact frames per second of the finished file."""
        return exact_rate(self.fps)

    @property
    def num_output_frames(self) -> int:
        """Frames in the finished file.

        Output frame ``j`` shows what the engine shows at time ``j / rate``, for every such time
        before the end: ``num_frames`` where the rates are equal, and never less than 1.
        """
        return math.ceil(self.num_frames * self.rate / self.engine_rate)

    @property
    def duration_s(self) -> Fraction:
        """Exact length of the finished file in seconds."""
        return self.num_output_frames / self.rate
