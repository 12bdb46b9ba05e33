"""A finished video read back as frames.

Shapes: F frames, H rows, W columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_video(path: Path) -> tuple[NDArray[np.uint8], float]:
    """All frames of the first video stream, RGB bytes ``[F, H, W, 3]``, and its frames a second.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no video that can be read.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = stream.average_rate
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    except (av.error.InvalidDataError, IndexError) as error:
        raise ValueError(f"{path} holds no video that can be read: {error}") from error
    if not frames or fps is None:
        raise ValueError(f"{path} holds a video without frames or frame rate")
    return np.stack(frames), float(fps)
