"""How finished frames are compressed: which encoder, how hard it tries, how good the result is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Codec = Literal["libx264", "libx265", "libsvtav1", "h264_nvenc", "hevc_nvenc", "av1_nvenc"]
PixelFormat = Literal["yuv420p", "yuv420p10le", "yuv422p", "yuv444p"]

# Chroma subsampling along (width, height): sizes must be multiples of it.
CHROMA_STEP_PX: Mapping[str, tuple[int, int]] = {
    "yuv420p": (2, 2),
    "yuv420p10le": (2, 2),
    "yuv422p": (2, 1),
    "yuv444p": (1, 1),
}


@dataclass(frozen=True, slots=True)
class _Encoder:
    """What differs from one ffmpeg encoder to the next."""

    stream_codec: str
    crf: float
    max_crf: float
    preset: str
    pixel_formats: tuple[str, ...]


_X26_FORMATS = ("yuv420p", "yuv420p10le", "yuv422p", "yuv444p")
_NVENC_FORMATS = ("yuv420p", "yuv444p")

# The crf values look alike, not equal: each encoder has its own scale.
_ENCODERS: Mapping[str, _Encoder] = {
    "libx264": _Encoder("h264", 18, 51, "medium", _X26_FORMATS),
    "libx265": _Encoder("hevc", 20, 51, "medium", _X26_FORMATS),
    "libsvtav1": _Encoder("av1", 25, 63, "8", ("yuv420p", "yuv420p10le")),
    "h264_nvenc": _Encoder("h264", 20, 51, "p5", _NVENC_FORMATS),
    "hevc_nvenc": _Encoder("hevc", 22, 51, "p5", _NVENC_FORMATS),
    "av1_nvenc": _Encoder("av1", 28, 51, "p5", ("yuv420p",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """How the MP4 is compressed.

    Attributes:
        codec: the ffmpeg encoder.
        crf: constant quality, lower is better (``-cq`` for nvenc); ``None``: one that looks
            the same with every encoder, 18 for libx264.
        preset: effort, in the encoder's own words; empty: its usual one, ``medium`` for libx264.
        pixel_format: chroma subsampling and depth of the file; every player reads ``yuv420p``.
        threads: encoder threads. A number and not "all cores", since an encoder's output depends on
            it: with it fixed, the same frames give the same bytes on every machine.
        faststart: put the index in front, so that a player on the web starts at once.
    """

    codec: Codec = "libx264"
    crf: float | None = None
    preset: str = ""
    pixel_format: PixelFormat = "yuv420p"
    threads: int = 4
    faststart: bool = True

    def __post_init__(self) -> None:
        if self.codec not in _ENCODERS:
            raise ConfigError(
                f"encode.codec = {self.codec!r}: expected one of {', '.join(_ENCODERS)}"
            )
        encoder = _ENCODERS[self.codec]
        if self.pixel_format not in encoder.pixel_formats:
            raise ConfigError(
                f"encode.pixel_format = {self.pixel_format!r}: {self.codec} writes "
                f"{', '.join(encoder.pixel_formats)}"
            )
        if not math.isfinite(self.quality) or not 0 <= self.quality <= encoder.max_crf:
            raise ConfigError(
                f"encode.crf = {self.crf!r}: {self.codec} takes 0 (best) to {encoder.max_crf:g}"
            )
        if self.threads < 1:
            raise ConfigError(f"encode.threads = {self.threads}: expected at least 1")

    @property
    def stream_codec(self) -> str:
        """What the stream in the file is: ``h264``, ``hevc`` or ``av1``."""
        return _ENCODERS[self.codec].stream_codec

    @property
    def quality(self) -> float:
        """The crf in force."""
        return _ENCODERS[self.codec].crf if self.crf is None else self.crf

    @property
    def effort(self) -> str:
        """The preset in force."""
        return self.preset or _ENCODERS[self.codec].preset
