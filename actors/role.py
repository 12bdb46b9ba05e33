"""One actor's part in one video: the segment that it samples and, on one of them, the delivery.

An actor may have two at a time, the video that it delivers and the next one, which it samples
meanwhile. Nothing here is shared between them but the engine.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.heap import give_back_holes
from actors.scratch import ScratchFolder
from actors.snapshot_writer import FLUSH_S, SnapshotWriter
from actors.step_report import StepReport
from pipeline.delivery import VideoDelivery
from pipeline.errors import SegmentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from actors.piece_worker import PieceWorker
    from actors.snapshot_writer import Saved
    from pipeline.delivery import Delivered, DeliveryOrder, Stage
    from pipeline.engines.protocol import Engine
    from pipeline.message import BoundaryMessage
    from pipeline.plan import VideoPlan
    from pipeline.sampler import SegmentSampler
    from pipeline.spans import Span
    from pipeline.stores import ObjectStore


class Role:
    """One epoch of one video on this actor.

    Attributes:
        epoch: which calls are meant for it.
        sampler: the segment.
        waited_s: seconds of the step at hand in which the engine was another video's.
        opened_s: when it became the one that delivers; what it waited for the engine is left out.
        piece: what it decodes of the video, by number, if that is decoded by pieces.
        profile: the engine's memory profile when the delivery was opened: for the next video the
            engine may take another.
    """

    def __init__(
        self, epoch: int, sampler: SegmentSampler, snapshots: SnapshotWriter | None
    ) -> None:
        self.epoch, self.sampler = epoch, sampler
        self._snapshots = snapshots
        self._stepped_s: float | None = None
        self._begun_s = self._wait_s = 0.0
        self._sent_bytes = 0
        self.waited_s = self.opened_s = 0.0
        self.piece: tuple[int, PieceWorker] | None = None
        self.profile = ""
        self._delivery: VideoDelivery | None = None
        self._scratch: ScratchFolder | None = None
        self._pushed = self._num_frames = 0
        self._opening, self._is_left = threading.Lock(), False

    @property
    def video(self) -> str:
        """The video's id."""
        return self.sampler.plan.request.id

    @property
    def is_sampled(self) -> bool:
        """Whether all steps are done."""
        return self.sampler.step == self.sampler.plan.num_steps

    def expect(self, step: int) -> None:
        """Refuse a call that is not for the next step.

        Raises:
            SegmentError: it is for another.
        """
        if self.sampler.step != step:
            raise SegmentError(
                f"video '{self.video}', segment {self.sampler.segment}: got a call for step "
                f"{step}, but step {self.sampler.step} is next"
            )

    def begin_step(self, messages: Sequence[BoundaryMessage]) -> Sequence[BoundaryMessage]:
        """The first part of a step; what the neighbours are to be given."""
        started_s = time.perf_counter()
        self._wait_s = 0.0 if self._stepped_s is None else started_s - self._stepped_s
        given = self.sampler.begin_step(messages)
        self._sent_bytes = sum(message.num_bytes for message in given)
        self._begun_s = time.perf_counter() - started_s
        return given

    def finish_step(self, step: int, *, saves: bool) -> tuple[StepReport, float]:
        """The rest of it, and a snapshot if it saves; the report, and how long the step waited."""
        started_s = time.perf_counter()
        self.sampler.finish_step()
        computed_s = time.perf_counter()
        if saves and self._snapshots is not None:
            self._snapshots.save(self.sampler)
        owned = self.sampler.partition.owned(step, self.sampler.segment)
        report = StepReport(
            segment=self.sampler.segment,
            step=step,
            compute_s=self._begun_s + computed_s - started_s,
            num_windows=len(self.sampler.plan.boundary.windows(step, owned)),
            sent_bytes=self._sent_bytes,
            save_s=time.perf_counter() - computed_s,
            saved=() if self._snapshots is None else self._snapshots.collect(),
        )
        self._stepped_s = time.perf_counter()
        return report, self._wait_s

    def flush(self) -> tuple[Saved, ...]:
        """What was stored of snapshots since the last report, after a moment's wait for more."""
        if self._snapshots is None:
            return ()
        self._snapshots.wait(FLUSH_S)
        return self._snapshots.collect()

    def slots(self, span: Span) -> NDArray[np.float32]:
        """Finished latents ``[T, C, H, W]`` of part of what this segment owns."""
        self._is_finished()
        return self.sampler.latents(span).numpy()

    def open_delivery(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        engine: Engine,
        stage: Callable[[Stage], AbstractContextManager[None]],
    ) -> None:
        """Become the one that decodes, encodes and uploads; an earlier try is forgotten."""
        self._is_finished()
        with self._opening:
            self._abandon_delivery()
            if self._is_left:
                raise SegmentError(f"video '{self.video}': was abandoned before its delivery")
            self._scratch = ScratchFolder()
            self._delivery = VideoDelivery(plan, order, engine, self._scratch.path, stage)
            self._pushed = self._num_frames = 0

    def push(self, index: int, slots_TCHW: Tensor) -> tuple[int, int]:
        """Take the next run of slots; how many frames are encoded so far, and by this call."""
        return self._encoded(self._next_push(index).push(slots_TCHW))

    def push_frames(self, index: int, frames_FHWC: NDArray[np.uint8]) -> tuple[int, int]:
        """Take the next run of frames, decoded by anyone; as ``push``."""
        return self._encoded(self._next_push(index).push_frames(frames_FHWC))

    def worker(self, index: int) -> PieceWorker:
        """The piece at hand.

        Raises:
            SegmentError: it is another.
        """
        if self.piece is None or self.piece[0] != index:
            raise SegmentError(f"decoding: got a run of piece {index}, which is not open")
        return self.piece[1]

    def _next_push(self, index: int) -> VideoDelivery:
        """The open delivery, if this run is the next."""
        if self._delivery is None or index != self._pushed:
            raise SegmentError(f"delivery: got run {index} of slots, expected {self._pushed}")
        self._pushed += 1
        return self._delivery

    def _encoded(self, num_frames: int) -> tuple[int, int]:
        before, self._num_frames = self._num_frames, num_frames
        give_back_holes()
        return num_frames, num_frames - before

    def deliver(self, store: ObjectStore) -> Delivered:
        """Complete, check and upload the video."""
        if self._delivery is None:
            raise SegmentError("delivery: none is open")
        delivered = self._delivery.finish(store)
        return replace(delivered, profiles=(self.profile,) if self.profile else ())

    def abandon(self) -> None:
        """Forget the video and what lies of it on the local disk, in the middle of it if need be.

        A call that still delivers fails, since its encoder is gone.
        """
        with self._opening:
            self._is_left = True
            self._abandon_delivery()
        if self._snapshots is not None:
            self._snapshots.wait()

    def _abandon_delivery(self) -> None:
        if self._delivery is not None:
            self._delivery.abandon()
        if self._scratch is not None:
            self._scratch.remove()
        self._delivery = self._scratch = self.piece = None

    def _is_finished(self) -> None:
        self.expect(self.sampler.plan.num_steps)
