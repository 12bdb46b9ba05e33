"""Reads a finished file back: every frame is decoded and counted, not taken from the header."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from pipeline.errors import EncodeError

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.encoding.video_format import VideoFormat

# Code points of ITU-T H.273, as players read them.
BT709 = 1
LIMITED_RANGE = 1

# Decoders go by their own names where the format has another.
_STREAM_CODECS = {"libdav1d": "av1", "libaom-av1": "av1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a video file is, measured by decoding it.

    Attributes:
        codec: ``h264``, ``hevc`` or ``av1``.
        pixel_format: such as ``yuv420p``.
        width: width in pixels.
        height: height in pixels.
        fps: exact frames per second.
        num_frames: frames that were decoded.
        num_misplaced_frames: frames that are not shown at exactly ``k / fps`` seconds.
        duration_s: exact length in seconds.
        color_primaries: H.273 code point; 1 is BT.709.
        color_transfer: H.273 code point; 1 is BT.709.
        color_matrix: H.273 code point; 1 is BT.709.
        color_range: 1 is limited range, 2 is full range.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    fps: Fraction
    num_frames: int
    num_misplaced_frames: int
    duration_s: Fraction
    color_primaries: int
    color_transfer: int
    color_matrix: int
    color_range: int


def probe(path: Path) -> VideoInfo:
    """Decode the whole of a video file and say what it is.

    Raises:
        EncodeError: it can't be read to its end.
    """
    try:
        with av.open(str(path)) as container:
            return _measure(path, container)
    except (av.error.FFmpegError, OSError) as error:
        raise EncodeError(f"{path}: not a readable video: {error}") from error


def check(path: Path, video: VideoFormat, options: EncodeOptions) -> VideoInfo:
    """Decode a finished file and compare it with what was asked for.

    Raises:
        EncodeError: it can't be read or it differs; every difference is named.
    """
    found = probe(path)
    expected = _expected(video, options)
    differences = [
        f"{field.name} is {getattr(found, field.name)}, expected {getattr(expected, field.name)}"
        for field in fields(VideoInfo)
        if getattr(found, field.name) != getattr(expected, field.name)
    ]
    if differences:
        raise EncodeError(f"{path}: {'; '.join(differences)}")
    return found


def _expected(video: VideoFormat, options: EncodeOptions) -> VideoInfo:
    return VideoInfo(
        codec=options.stream_codec,
        pixel_format=options.pixel_format,
        width=video.width,
        height=video.height,
        fps=video.rate,
        num_frames=video.num_output_frames,
        num_misplaced_frames=0,
        duration_s=video.duration_s,
        color_primaries=BT709,
        color_transfer=BT709,
        color_matrix=BT709,
        color_range=LIMITED_RANGE,
    )


def _measure(path: Path, container: InputContainer) -> VideoInfo:
    if not container.streams.video:
        raise EncodeError(f"{path}: holds no video stream")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    fps = stream.average_rate or Fraction(0)
    num_frames, num_misplaced = _count(container, stream, fps)
    codec = stream.codec_context
    return VideoInfo(
        codec=_STREAM_CODECS.get(codec.name, codec.name),
        pixel_format=codec.pix_fmt or "unknown",
        width=codec.width,
        height=codec.height,
        fps=fps,
        num_frames=num_frames,
        num_misplaced_frames=num_misplaced,
        duration_s=Fraction(stream.duration or 0) * Fraction(stream.time_base or 0),
        color_primaries=codec.color_primaries,
        color_transfer=codec.color_trc,
        color_matrix=codec.colorspace,
        color_range=codec.color_range,
    )


def _count(container: InputContainer, stream: VideoStream, fps: Fraction) -> tuple[int, int]:
    num_frames = num_misplaced = 0
    for frame in container.decode(stream):
        at_s = Fraction(frame.pts or 0) * Fraction(frame.time_base or 0)
        num_misplaced += at_s * fps != num_frames
        num_frames += 1
    return num_frames, num_misplaced
