"""Reads a video's frames back, one at a time, whoever made the file.

Shape suffixes: H height, W width; the last axis is RGB.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from pipeline.errors import VideoFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """An open video: its rate and its frames, each decoded when it is asked for.

    Attributes:
        fps: frames per second.
        frames: arrays ``[H, W, 3]`` of RGB bytes, in order, to be gone through once.
    """

    fps: float
    frames: Iterator[NDArray[np.uint8]]


@contextmanager
def open_video(path: Path) -> Iterator[VideoFrames]:
    """Open a video file for reading.

    Raises:
        VideoFileError: there is no such file, it holds no video, or it can't be read to its end
            (the last when the frames are gone through).
    """
    if not path.is_file():
        raise VideoFileError(f"{path}: no such file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise VideoFileError(f"{path}: not a readable video: {error}") from error
    with container:
        if not container.streams.video:
            raise VideoFileError(f"{path}: holds no video stream")
        stream = container.streams.video[0]
        if not stream.average_rate:
            raise VideoFileError(f"{path}: a single picture, or a video without a frame rate")
        yield VideoFrames(float(stream.average_rate), _decoded(path, container, stream))


def _decoded(
    path: Path, container: InputContainer, stream: VideoStream
) -> Iterator[NDArray[np.uint8]]:
    stream.thread_type = "AUTO"
    num_frames = 0
    try:
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            num_frames += 1
    except av.error.FFmpegError as error:
        raise VideoFileError(f"{path}: can't be decoded to its end: {error}") from error
    if num_frames < stream.frames:  # 0 where the container doesn't say
        raise VideoFileError(
            f"{path}: breaks off after {num_frames} frames, its header says {stream.frames}"
        )


def count_frames(path: Path) -> int:
    """Frames in a video file, counted without decoding them.

    Raises:
        VideoFileError: see ``open_video``.
    """
    with open_video(path):  # refuses what is no video, by name
        pass
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
