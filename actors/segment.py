"""The segment actor: one actor, one device, one segment of the video at hand.

A thin shell: what it does is in ``pipeline``. An actor keeps its engine between videos; everything
else belongs to one video and one *epoch*, a number that the driver gives each attempt, so that a
call meant for an earlier attempt, or for an actor that has lost its state, is refused instead of
obeyed.

Shape suffixes: T slots, C channels, H height, W width, S text tokens, D text width.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import ray
import torch

from actors.failures import StepFailedError
from actors.fitted_engine import FittedEngine
from actors.free_memory import free_room
from actors.heap import give_back_holes
from actors.image_arrays import ImageArrays
from actors.metrics import ActorMetrics
from actors.piece_worker import PieceWorker
from actors.scratch import ScratchFolder
from actors.seat import Seat
from actors.snapshot_writer import FLUSH_S, SnapshotWriter
from actors.transport import ObjectStore
from actors.worker_log import WorkerLog
from pipeline.delivery import VideoDelivery
from pipeline.encoding.encoder_trial import try_encoder
from pipeline.errors import NightreelError, SegmentError
from pipeline.sampler import SegmentSampler
from pipeline.snapshot_store import load_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from actors.piece_worker import RunReport
    from actors.snapshot_writer import Saved
    from actors.transport import Transport
    from pipeline.decode_pieces import Piece
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.engines.registry import EngineSource
    from pipeline.message import BoundaryMessage
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition
    from pipeline.snapshot import Cut
    from pipeline.spans import Span
    from pipeline.stores import StoreFactory
    from pipeline.tiling import Tiling

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What an actor is to do for a video.

    Attributes:
        epoch: goes up with every assignment.
        segment: whose place it takes.
        prefix: where its snapshots are stored; ``None``: nowhere.
        cut: where it goes on from; ``None``: from noise.
    """

    epoch: int
    segment: int
    prefix: str | None = None
    cut: Cut | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a finished step tells the driver: numbers, never tensors.

    Attributes:
        compute_s: seconds in both parts of the step, without waiting for neighbours.
        num_windows: windows that the model saw.
        sent_bytes: boundary bytes handed to neighbours.
        save_s: seconds that the step took longer because a snapshot was taken.
        saved: what was stored of snapshots since the last report.
        profile: the memory profile that the engine was loaded with; empty if it has none.
    """

    segment: int
    step: int
    compute_s: float
    num_windows: int
    sent_bytes: int
    save_s: float = 0.0
    saved: tuple[Saved, ...] = ()
    profile: str = ""


class SegmentActor:
    """One segment's share of a video, and, on the gang's first actor, its text and its delivery."""

    def __init__(
        self,
        engine: EngineSource,
        threads: int,
        store: StoreFactory,
        seat: Seat = Seat(),  # noqa: B008  # frozen
    ) -> None:
        """Fetch and load the engine; this is what makes a warm actor worth keeping."""
        self._seat, self._log = seat, WorkerLog(seat)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self._engine = FittedEngine(engine, free_room, self._log.note)
        self._open_store = store
        self._epoch = -1
        self._sampler: SegmentSampler | None = None
        self._delivery: VideoDelivery | None = None
        self._snapshots: SnapshotWriter | None = None
        self._pushed = self._num_frames = 0
        self._tried_encoders: set[EncodeOptions] = set()
        self._scratch: ScratchFolder | None = None
        self._piece: tuple[int, PieceWorker] | None = None
        self._metrics = ActorMetrics(seat, engine.name)
        self._transport: Transport = ObjectStore()
        self._stepped_s: float | None = None
        self._wait_s = self._begun_s = 0.0
        self._sent_bytes = 0

    def __repr__(self) -> str:
        """What the dashboard calls the actor; Ray asks once."""
        return str(self._seat)

    def identity(self) -> tuple[str, int]:
        """Node id and process id, for logs; answers when the engine is loaded."""
        return ray.get_runtime_context().get_node_id(), os.getpid()

    def encode_prompts(self, plan: VideoPlan) -> dict[str, NDArray[np.float32]]:
        """Every prompt of the plan with its embedding ``[S, D]``."""
        with self._metrics.doing("prompts"):
            embeds = self._engine.encode_prompts(plan.prompts)
        return {prompt: embed.numpy() for prompt, embed in zip(plan.prompts, embeds, strict=True)}

    def encode_image(self, plan: VideoPlan) -> ImageArrays | None:
        """The plan's image as its windows are told of it, if there is one."""
        if plan.image is None:
            return None
        with self._metrics.doing("prompts"):
            return ImageArrays.of(self._engine.encode_image(plan.image.pixels_HWC))

    def check_encoder(self, options: EncodeOptions) -> None:
        """Try the encoder on this node, before hours of sampling depend on it."""
        if options not in self._tried_encoders:
            try_encoder(options)
            self._tried_encoders.add(options)

    def begin(
        self,
        assignment: Assignment,
        plan: VideoPlan,
        partition: Partition,
        prompt_embeds: Mapping[str, NDArray[np.float32]],
        image: ImageArrays | None = None,
    ) -> None:
        """Take over a segment of a video. Copies the embeddings: theirs is shared memory."""
        self.abandon()
        self._engine.prepare(plan)
        embeds_SD = {
            prompt: torch.from_numpy(embed.copy()) for prompt, embed in prompt_embeds.items()
        }
        segment, cut = assignment.segment, assignment.cut
        image_embeds = None if image is None else image.copied()
        sampler = SegmentSampler(
            plan, partition, segment, self._engine, embeds_SD, image_embeds=image_embeds
        )
        if cut is not None:
            cut.check(plan)
            wanted = sampler.needs(cut.step)
            sampler.restore(cut.step, *load_slots(self._open_store(), cut, *wanted))
        if assignment.prefix is not None:
            self._snapshots = SnapshotWriter(self._open_store, assignment.prefix)
        self._sampler, self._epoch = sampler, assignment.epoch
        self._log.began(sampler, assignment.epoch)

    @ray.method(num_returns=3)
    def step(
        self,
        epoch: int,
        step: int,
        from_left: BoundaryMessage | None,
        from_right: BoundaryMessage | None,
    ) -> tuple[BoundaryMessage | None, BoundaryMessage | None, None]:
        """Begin a step: compute what the neighbours need for the next, and give it to them.

        The third return says that it went well, and weighs nothing: whoever waits for the step asks
        for it, so as not to have the boundaries sent along.
        """
        sampler = self._sampler_at(epoch, step)
        started_s = time.perf_counter()
        self._wait_s = 0.0 if self._stepped_s is None else started_s - self._stepped_s
        messages = [self._transport.unpack(m) for m in (from_left, from_right) if m is not None]
        given = self._computed(sampler, lambda: sampler.begin_step(messages))
        self._sent_bytes = sum(message.num_bytes for message in given)
        sent = {message.receiver: self._transport.pack(message) for message in given}
        self._begun_s = time.perf_counter() - started_s
        return sent.get(sampler.segment - 1), sent.get(sampler.segment + 1), None

    def finish(self, epoch: int, step: int, saves: bool) -> StepReport:
        """Compute the rest of a step, while what was given travels; take a snapshot if asked to."""
        sampler = self._sampler_at(epoch, step)
        started_s = time.perf_counter()
        self._computed(sampler, sampler.finish_step)
        computed_s = time.perf_counter()
        if saves and self._snapshots is not None:
            self._snapshots.save(sampler)
        owned = sampler.partition.owned(step, sampler.segment)
        report = StepReport(
            segment=sampler.segment,
            step=step,
            compute_s=self._begun_s + computed_s - started_s,
            num_windows=len(sampler.plan.boundary.windows(step, owned)),
            sent_bytes=self._sent_bytes,
            save_s=time.perf_counter() - computed_s,
            saved=() if self._snapshots is None else self._snapshots.collect(),
            profile=self._engine.profile,
        )
        self._metrics.step(report, self._wait_s)
        self._log.step(report, sampler.plan.num_steps, self._wait_s)
        self._stepped_s = time.perf_counter()
        return report

    def flush(self, epoch: int) -> tuple[Saved, ...]:
        """What was stored of snapshots since the last report, after a moment's wait for more."""
        self._sampler_at(epoch, None)
        if self._snapshots is None:
            return ()
        self._snapshots.wait(FLUSH_S)
        return self._snapshots.collect()

    def ping(self, epoch: int) -> int:
        """The next step; an actor that has lost its state, or was given another, refuses."""
        return self._sampler_at(epoch, None).step

    def slots(self, epoch: int, span: Span) -> NDArray[np.float32]:
        """Finished latents ``[T, C, H, W]`` of part of what this segment owns."""
        sampler = self._finished_sampler(epoch)
        return sampler.latents(span).numpy()

    def open_delivery(self, epoch: int, plan: VideoPlan, order: DeliveryOrder) -> None:
        """Become the one that decodes, encodes and uploads; an earlier try is forgotten."""
        self._finished_sampler(epoch)
        self._abandon_delivery()
        self._scratch = ScratchFolder()
        folder, stage = self._scratch.path, self._metrics.doing
        self._delivery = VideoDelivery(plan, order, self._engine, folder, stage)
        self._pushed = self._num_frames = 0

    def push(self, epoch: int, index: int, slots_TCHW: NDArray[np.float32]) -> int:
        """Take the next run of slots; give the number of frames encoded so far."""
        self._finished_sampler(epoch)
        delivery = self._next_push(index)
        return self._encoded(delivery.push(torch.from_numpy(slots_TCHW.copy())))

    def _next_push(self, index: int) -> VideoDelivery:
        """The open delivery, if this run is the next."""
        if self._delivery is None or index != self._pushed:
            raise SegmentError(f"delivery: got run {index} of slots, expected {self._pushed}")
        self._pushed += 1
        return self._delivery

    def _encoded(self, num_frames: int) -> int:
        """Count what is encoded by now."""
        self._metrics.frames(num_frames - self._num_frames)
        self._num_frames = num_frames
        give_back_holes()
        return num_frames

    def open_piece(
        self,
        epoch: int,
        index: int,
        piece: Piece,
        tiling: Tiling | None,
        *slots_TCHW: NDArray[np.float32],
    ) -> None:
        """Begin to decode a piece of the video; an earlier one is forgotten."""
        self._finished_sampler(epoch)
        stage = self._metrics.doing
        self._piece = index, PieceWorker(self._engine, piece, tiling, slots_TCHW, stage)

    @ray.method(num_returns=2)
    def decode_run(self, epoch: int, index: int, run: Span) -> tuple[NDArray[np.uint8], RunReport]:
        """The frames of the next run of the piece at hand, and how many they are."""
        self._finished_sampler(epoch)
        if self._piece is None or self._piece[0] != index:
            raise SegmentError(f"decoding: got a run of piece {index}, which is not open")
        return self._piece[1].decode(run)

    def push_frames(self, epoch: int, index: int, frames_FHWC: NDArray[np.uint8]) -> int:
        """Take the next run of frames, decoded by anyone; give the number encoded so far."""
        self._finished_sampler(epoch)
        delivery = self._next_push(index)
        return self._encoded(delivery.push_frames(frames_FHWC))

    def deliver(self, epoch: int) -> Delivered:
        """Complete, check and upload the video."""
        self._finished_sampler(epoch)
        if self._delivery is None:
            raise SegmentError("delivery: none is open")
        delivered = self._delivery.finish(self._open_store())
        delivered = replace(delivered, profile=self._engine.profile)
        self._log.note(f"delivered {delivered.video.key}, {delivered.video.size_bytes} bytes")
        self.abandon()
        return delivered

    def abandon(self) -> None:
        """Forget the video at hand and what lies of it on the local disk; the engine stays."""
        self._abandon_delivery()
        if self._snapshots is not None:
            self._snapshots.wait()
        self._epoch, self._sampler, self._snapshots, self._stepped_s = -1, None, None, None

    def _abandon_delivery(self) -> None:
        if self._delivery is not None:
            self._delivery.abandon()
        if self._scratch is not None:
            self._scratch.remove()
        self._delivery = self._scratch = self._piece = None

    def _finished_sampler(self, epoch: int) -> SegmentSampler:
        """The sampler, if this call is meant for its epoch and it has finished all steps."""
        sampler = self._sampler_at(epoch, None)
        return self._sampler_at(epoch, sampler.plan.num_steps)

    def _sampler_at(self, epoch: int, step: int | None) -> SegmentSampler:
        """The sampler, if this call is meant for its epoch and, where it matters, its next step."""
        if self._sampler is None or epoch != self._epoch:
            raise SegmentError(
                f"got a call for epoch {epoch}, but this actor is at epoch {self._epoch}"
            )
        if step is not None and self._sampler.step != step:
            raise SegmentError(
                f"video '{self._sampler.plan.request.id}', segment {self._sampler.segment}: got a "
                f"call for step {step}, but step {self._sampler.step} is next"
            )
        return self._sampler

    def _computed(self, sampler: SegmentSampler, compute: Callable[[], T]) -> T:
        """A part of the step at hand; what goes wrong in it bears the segment's number."""
        step = sampler.step
        try:
            return compute()
        except NightreelError as error:
            self._log.failed(step, error)
            raise
        except Exception as error:
            where = f"video '{sampler.plan.request.id}', segment {sampler.segment}, step {step}"
            message = f"{where}: {type(error).__name__}: {error}"
            self._log.failed(step, error)
            raise StepFailedError(sampler.segment, message) from error
