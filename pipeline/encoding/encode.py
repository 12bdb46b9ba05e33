"""Frames in, MP4 out: ffmpeg compresses while the frames still come.

A file appears under its name only when it is whole: until then it is called ``<name>.partial``, and
is removed if anything fails. Memory in use is ffmpeg's own: the pipe to it is the back-pressure.

Not covered: sound, containers other than MP4, variable frame rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoding.encode_options import CHROMA_STEP_PX
from pipeline.encoding.ffmpeg_command import encode_command
from pipeline.encoding.ffmpeg_process import FINISH_TIMEOUT_S, STALL_TIMEOUT_S, FfmpegProcess
from pipeline.errors import EncodeError, StoreFullError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.encoding.provenance import Provenance
    from pipeline.encoding.video_format import VideoFormat

# A third into the video, it has begun and has not yet ended: a fair picture of it.
POSTER_POSITION = 3

PARTIAL_SUFFIX = ".partial"


class VideoWriter:
    """Writes one MP4 from frames handed over in order.

    ```python
    with VideoWriter(path, video, options, provenance) as writer:
        for frames_THWC in decoded:
            writer.write(frames_THWC)
    ```

    Leaving the block without an error completes the file; leaving it with one removes what was
    there of it. Frames beyond ``video.num_frames`` are cut off: an engine may make more than was
    asked for.
    """

    def __init__(
        self,
        path: Path,
        video: VideoFormat,
        options: EncodeOptions,
        provenance: Provenance,
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        finish_timeout_s: float = FINISH_TIMEOUT_S,
    ) -> None:
        """Start ffmpeg.

        Raises:
            EncodeError: the size does not fit the pixel format, the folder is missing, or there is
                no ffmpeg.
        """
        _check_size(video, options)
        if not path.parent.is_dir():
            raise EncodeError(f"can't write {path}: its folder does not exist")
        self.path = path
        self.video = video
        self._partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self._num_written = 0
        self._poster_frame_HWC: NDArray[np.uint8] | None = None
        self._closed = False
        self._process = FfmpegProcess(
            encode_command(self._partial, video, options, provenance),
            stall_timeout_s=stall_timeout_s,
            finish_timeout_s=finish_timeout_s,
        )

    @property
    def num_written(self) -> int:
        """Frames that ffmpeg has taken so far, at the engine's rate."""
        return self._num_written

    @property
    def poster_frame(self) -> NDArray[np.uint8]:
        """The frame a third into the video, ``[H, W, 3]`` RGB bytes, once it has been written."""
        assert self._poster_frame_HWC is not None, "no poster frame yet"
        return self._poster_frame_HWC

    @property
    def pid(self) -> int:
        """Process id of ffmpeg."""
        return self._process.pid

    def write(self, frames_THWC: NDArray[np.uint8]) -> None:
        """Hand over the next frames, ``[T, H, W, 3]`` RGB bytes; returns when ffmpeg has them.

        Raises:
            EncodeError: wrong shape or type, or ffmpeg failed.
            StoreFullError: the disk is full.
        """
        assert not self._closed, "write() after close()"
        self._check_frames(frames_THWC)
        wanted = frames_THWC[: self.video.num_frames - self._num_written]
        if len(wanted) == 0:
            return
        self._keep_poster(wanted)
        try:
            self._process.send(np.ascontiguousarray(wanted).data.cast("B"))
        except (EncodeError, StoreFullError) as error:
            self.abort()
            raise self._located(error) from error
        self._num_written += len(wanted)

    def close(self) -> None:
        """Complete the file and give it its name; nothing if it is complete already.

        Raises:
            EncodeError: too few frames were written, or ffmpeg failed.
            StoreFullError: the disk is full.
        """
        if self._closed:
            return
        if self._num_written < self.video.num_frames:
            self.abort()
            raise EncodeError(
                f"{self.path}: got {self._num_written} frames, expected {self.video.num_frames}"
            )
        try:
            self._process.finish()
        except (EncodeError, StoreFullError) as error:
            self.abort()
            raise self._located(error) from error
        self._partial.replace(self.path)
        self._closed = True

    def abort(self) -> None:
        """End ffmpeg and remove the unfinished file; nothing if the file is complete."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            self.close()
        else:
            self.abort()

    def _check_frames(self, frames_THWC: NDArray[np.uint8]) -> None:
        expected = (self.video.height, self.video.width, 3)
        if frames_THWC.dtype != np.uint8 or frames_THWC.shape[1:] != expected:
            raise EncodeError(
                f"{self.path}: got frames {frames_THWC.dtype} {list(frames_THWC.shape)}, expected "
                f"uint8 [T, {self.video.height}, {self.video.width}, 3]"
            )

    def _keep_poster(self, frames_THWC: NDArray[np.uint8]) -> None:
        index = self.video.num_frames // POSTER_POSITION - self._num_written
        if 0 <= index < len(frames_THWC):
            self._poster_frame_HWC = frames_THWC[index].copy()

    def _located(self, error: EncodeError | StoreFullError) -> EncodeError | StoreFullError:
        progress = f"after {self._num_written} of {self.video.num_frames} frames"
        return type(error)(f"{self.path}, {progress}: {error}")


def _check_size(video: VideoFormat, options: EncodeOptions) -> None:
    steps = CHROMA_STEP_PX[options.pixel_format]
    for name, size, step in zip(
        ("width", "height"), (video.width, video.height), steps, strict=True
    ):
        if size % step:
            raise EncodeError(
                f"{name} = {size}: {options.pixel_format} needs a multiple of {step}; "
                f"the nearest are {size - 1} and {size + 1}"
            )
