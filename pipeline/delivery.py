"""The last stretch of one video: slots in order in, verified objects out.

    slots -> join -> stream decode -> ffmpeg -> check -> quality gate -> poster -> object store

Nothing piles up: a push returns when ffmpeg has taken every frame that it led to, and the file has
its final name in the store only after it was decoded again and found to be what was asked for.

Shape suffixes: T slots, C channels, F frames, H height, W width.
"""

from __future__ import annotations

import zlib
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipeline.decode_options import DecodeOptions
from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.poster import poster_jpeg
from pipeline.encoding.probe import check
from pipeline.encoding.video_format import VideoFormat
from pipeline.errors import ObjectExistsError
from pipeline.join import Joiner
from pipeline.quality.curves import MIN_NUM_FRAMES
from pipeline.quality.gate import QualityOptions, judge
from pipeline.quality.joins import joins_of_plan
from pipeline.quality.measure import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.encoding.probe import VideoInfo
    from pipeline.encoding.provenance import Provenance
    from pipeline.engines.protocol import Engine
    from pipeline.plan import VideoPlan
    from pipeline.quality.measure import VideoQuality
    from pipeline.stores import ObjectInfo, ObjectStore

Stage = Literal["decode", "encode", "check", "upload"]


def _unwatched(stage: Stage) -> AbstractContextManager[None]:
    del stage
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOrder:
    """Where a video goes and how it is packed.

    Attributes:
        video_key, poster_key: keys in the object store.
        decode: how latents become frames.
        encode: codec, quality and so on.
        provenance: what the file says of its own making.
        quality: what the finished video may at most be.
        checkpoints_prefix: where snapshots of the video in the making are stored, its finished
            latents among them; ``None``: nowhere.
        keeps_latents: whether the finished latents are stored before decoding.
    """

    video_key: str
    poster_key: str
    checkpoints_prefix: str | None = None
    keeps_latents: bool = True
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    encode: EncodeOptions
    provenance: Provenance
    quality: QualityOptions = field(default_factory=QualityOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What lies in the store, as the store confirmed it, and what decoding it again showed.

    Attributes:
        quality: ``None`` for one or two frames, of which nothing can be said.
        profiles: the memory profiles that frames were decoded with; none if the engine has none.
        took_s: seconds of it all, without those in which a network was another video's; 0 where
            nobody has a clock.
    """

    video: ObjectInfo
    poster: ObjectInfo
    info: VideoInfo
    quality: VideoQuality | None = None
    profiles: tuple[str, ...] = ()
    took_s: float = 0.0


class VideoDelivery:
    """Decodes, encodes, checks and uploads one video, fed with its slots in order."""

    def __init__(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        engine: Engine,
        folder: Path,
        stage: Callable[[Stage], AbstractContextManager[None]] = _unwatched,
    ) -> None:
        """Open the stream.

        Args:
            plan: what is delivered.
            order: where to.
            engine: decodes.
            folder: local scratch space for the unfinished file.
            stage: entered around each stretch of work, by whoever has a clock.
        """
        self._plan, self._order = plan, order
        self._format = VideoFormat.of(plan.request)
        self._joiner = Joiner(plan.boundary)
        self._decoder, self._stage = engine.stream_decoder(order.decode.tiling), stage
        self._path = folder / "video.mp4"
        self._writer = VideoWriter(self._path, self._format, order.encode, order.provenance)

    def push(self, slots_TCHW: Tensor) -> int:
        """Take the next slots; give the number of frames that ffmpeg has taken so far.

        Raises:
            EncodeError: ffmpeg failed.
            StoreFullError: the scratch disk is full.
        """
        decoded = self._decoder.push(self._joiner.push(slots_TCHW))
        while (frames := self._next(decoded)) is not None:
            with self._stage("encode"):
                self._writer.write(frames)
        return self._writer.num_written

    def push_frames(self, frames_FHWC: NDArray[np.uint8]) -> int:
        """Take the next frames, decoded elsewhere; give the number that ffmpeg has taken so far.

        A video comes as slots or as frames, never as both.

        Raises:
            EncodeError: ffmpeg failed.
            StoreFullError: the scratch disk is full.
        """
        with self._stage("encode"):
            self._writer.write(frames_FHWC)
        return self._writer.num_written

    def _next(self, decoded: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
        """The next latent frame's pixels: they are decoded when they are asked for."""
        with self._stage("decode"):
            return next(decoded, None)

    def finish(self, store: ObjectStore) -> Delivered:
        """Complete the file, check it by decoding it, and upload video and poster.

        An object that is there already under these keys was made from the same request by the same
        engine: it is left as it is if its checksum agrees, and replaced if not.

        Raises:
            EncodeError: the file is not what was asked for.
            QualityError: it is over a limit of the quality gate; nothing is uploaded.
            StoreError: the upload failed.
        """
        with self._stage("encode"):
            self._writer.close()
        with self._stage("check"):
            info = check(self._path, self._format, self._order.encode)
            quality = self._judged(info.num_frames)
            poster = self._path.with_suffix(".jpg")
            poster.write_bytes(poster_jpeg(self._writer.poster_frame, self._order.provenance))
        with self._stage("upload"):
            video = _put(store, self._order.video_key, self._path, "video/mp4")
            delivered = Delivered(
                video=video,
                poster=_put(store, self._order.poster_key, poster, "image/jpeg"),
                info=info,
                quality=quality,
            )
        self._path.unlink()
        poster.unlink()
        return delivered

    def _judged(self, num_frames: int) -> VideoQuality | None:
        """The file's figures, once they are within their limits."""
        if num_frames < MIN_NUM_FRAMES:
            return None
        quality = measure(self._path, joins_of_plan(self._plan))
        request = self._plan.request
        judge(
            quality,
            self._order.quality,
            self._plan.options.boundary.mode,
            retimed=request.fps != request.engine_fps,
        )
        return quality

    def abandon(self) -> None:
        """Stop ffmpeg and remove the unfinished file."""
        self._writer.abort()


def _put(store: ObjectStore, key: str, path: Path, content_type: str) -> ObjectInfo:
    """Create the object; if the key is taken by anything else, make it right."""
    try:
        return store.put_file(key, path, content_type=content_type)
    except ObjectExistsError:
        found = store.head(key)
    crc32, size_bytes = _crc32_of(path), path.stat().st_size
    if found is not None and (found.crc32, found.size_bytes) == (crc32, size_bytes):
        return found
    return store.put_file(key, path, content_type=content_type, overwrite=True)


def _crc32_of(path: Path) -> int:
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc32 = zlib.crc32(block, crc32)
    return crc32
