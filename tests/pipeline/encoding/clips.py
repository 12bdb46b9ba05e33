"""Small clips whose pixels are known, and what the tests of encoding do with them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.encoding.video_format import VideoFormat

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 96, 64
BARS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "skin": (200, 140, 110),
}
BAR_PX = WIDTH // len(BARS)
PROVENANCE = Provenance(title="a red fox\nat dawn", engine="wan", version="0.1.0")
FAST = EncodeOptions(preset="ultrafast")


def video(num_frames: int = 24, engine_fps: float = 16, fps: float | None = None) -> VideoFormat:
    return VideoFormat(
        width=WIDTH,
        height=HEIGHT,
        num_frames=num_frames,
        engine_fps=engine_fps,
        fps=engine_fps if fps is None else fps,
    )


def bars(num_frames: int) -> NDArray[np.uint8]:
    frames = np.zeros((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for index, color in enumerate(BARS.values()):
        frames[:, :, index * BAR_PX : (index + 1) * BAR_PX] = color
    return frames


def numbered(num_frames: int) -> NDArray[np.uint8]:
    """Frame k is a flat grey of its own, so that a decoded frame says which one it was."""
    levels = np.linspace(0, 255, num_frames).round().astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, HEIGHT, WIDTH, 3)).copy()


def noise(num_frames: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)


def write(
    path: Path,
    frames: NDArray[np.uint8],
    form: VideoFormat,
    options: EncodeOptions = FAST,
    piece: int = 4,
) -> VideoWriter:
    with VideoWriter(path, form, options, PROVENANCE) as writer:
        for start in range(0, len(frames), piece):
            writer.write(frames[start : start + piece])
    return writer


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)
        ]


def assert_nothing_left(folder: Path, pid: int) -> None:
    assert list(folder.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
