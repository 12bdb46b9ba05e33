"""The segment actor: one actor, one device, one segment of the video at hand.

A thin shell: what it does is in ``pipeline``. An actor keeps its engine between videos; everything
else belongs to one video and one *epoch*, a number that the driver gives each attempt, so that a
call meant for an earlier attempt, or for an actor that has lost its state, is refused instead of
obeyed.

It has three threads that take calls, each in order: one computes, one delivers the video before
(``delivery``), and one answers at once (``control``), so that an actor in the middle of a long step
is not taken for dead.

Shape suffixes: T slots, C channels, H height, W width, S text tokens, D text width.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import ray
import torch

from actors.failures import StepFailedError
from actors.fitted_engine import fitted
from actors.free_memory import free_room
from actors.image_arrays import ImageArrays
from actors.metrics import ActorMetrics
from actors.piece_worker import PieceWorker
from actors.role import Role
from actors.seat import Seat
from actors.snapshot_writer import SnapshotWriter
from actors.transport import ObjectStore
from actors.usage import ActorUsage, Turnovers
from actors.worker_log import WorkerLog
from pipeline.encoding.encoder_trial import try_encoder
from pipeline.errors import NightreelError, SegmentError
from pipeline.sampler import SegmentSampler
from pipeline.snapshot_store import load_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from actors.piece_worker import RunReport
    from actors.snapshot_writer import Saved
    from actors.step_report import StepReport
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

# Threads beside the one that computes, by what they are for.
CONCURRENCY_GROUPS: Final = {"delivery": 1, "control": 1}


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


class SegmentActor:
    """One segment's share of a video, and, on one actor of a gang, its text and its delivery."""

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
        self._engine = fitted(engine, free_room, self._log.tell)
        self._open_store = store
        self._roles: dict[int, Role] = {}
        self._tried_encoders: set[EncodeOptions] = set()
        self._metrics = ActorMetrics(seat, engine.name)
        self._transport: Transport = ObjectStore()
        self._turnovers = Turnovers()

    def __repr__(self) -> str:
        """What the dashboard calls the actor; Ray asks once."""
        return str(self._seat)

    @ray.method(concurrency_group="control")
    def identity(self) -> tuple[str, int]:
        """Node id and process id, for logs; answers when the engine is loaded."""
        return ray.get_runtime_context().get_node_id(), os.getpid()

    @ray.method(concurrency_group="control")
    def usage(self) -> ActorUsage:
        """How it has spent its time."""
        return ActorUsage(model_s=self._engine.computed_s, turnovers_s=self._turnovers.taken_s)

    @ray.method(concurrency_group="control")
    def enlist(self, seat: Seat, store: StoreFactory) -> None:
        """Work for another job from now on; of the last one's videos nothing is left."""
        self._leave(None)
        self._seat, self._open_store = seat, store
        self._log, self._turnovers = WorkerLog(seat), Turnovers()
        self._metrics.move(seat)

    def encode_prompts(
        self, prompts: Sequence[str]
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], ...]:
        """Embeddings ``[S, D]`` of prompts, in order; of a single one, itself."""
        with self._metrics.doing("prompts"):
            embeds = tuple(embed.numpy() for embed in self._engine.encode_prompts(prompts))
        return embeds[0] if len(embeds) == 1 else embeds

    def encode_image(self, plan: VideoPlan) -> ImageArrays | None:
        """The plan's image as its windows are told of it, if there is one."""
        if plan.image is None:
            return None
        with self._metrics.doing("prompts"):
            return ImageArrays.of(self._engine.encode_image(plan.image.pixels_HWC))

    @ray.method(concurrency_group="control")
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
        image: ImageArrays | None,
        *prompt_embeds_SD: NDArray[np.float32],
    ) -> None:
        """Take over a segment of a video. Copies the embeddings: theirs is shared memory.

        Args:
            assignment: which segment, from where.
            plan: the video.
            partition: who has which segment.
            image: encoded, if there is one.
            *prompt_embeds_SD: one for each of the plan's prompts.
        """
        self._leave(plan.request.id)
        self._leave_unfinished()
        self._engine.prepare(plan)
        embeds_SD = {
            prompt: torch.from_numpy(embed_SD.copy())
            for prompt, embed_SD in zip(plan.prompts, prompt_embeds_SD, strict=True)
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
        snapshots = None
        if assignment.prefix is not None:
            snapshots = SnapshotWriter(self._open_store, assignment.prefix)
        role = Role(assignment.epoch, sampler, snapshots)
        self._roles[role.epoch] = role
        self._log.began(role)

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
        role = self._role(epoch, step)
        self._turnovers.began()
        messages = [self._transport.unpack(m) for m in (from_left, from_right) if m is not None]
        given = self._computed(role, lambda: role.begin_step(messages))
        sent = {message.receiver: self._transport.pack(message) for message in given}
        segment = role.sampler.segment
        return sent.get(segment - 1), sent.get(segment + 1), None

    def finish(self, epoch: int, step: int, saves: bool) -> StepReport:
        """Compute the rest of a step, while what was given travels; take a snapshot if asked to."""
        role = self._role(epoch, step)
        report, wait_s = self._computed(role, lambda: role.finish_step(step, saves=saves))
        report = replace(report, profile=self._engine.profile, waited_s=role.waited_s)
        role.waited_s = 0.0
        if role.is_sampled:
            self._turnovers.ended()
        self._metrics.step(report, wait_s)
        self._log.step(role, report, wait_s)
        return report

    @ray.method(concurrency_group="control")
    def flush(self, epoch: int) -> tuple[Saved, ...]:
        """What was stored of snapshots since the last report, after a moment's wait for more."""
        return self._role(epoch).flush()

    @ray.method(concurrency_group="control")
    def ping(self, epoch: int) -> int:
        """The next step; an actor that has lost its state, or was given another, refuses."""
        return self._role(epoch).sampler.step

    @ray.method(concurrency_group="control")
    def slots(self, epoch: int, span: Span) -> NDArray[np.float32]:
        """Finished latents ``[T, C, H, W]`` of part of what this segment owns."""
        return self._role(epoch).slots(span)

    @ray.method(concurrency_group="delivery")
    def open_delivery(self, epoch: int, plan: VideoPlan, order: DeliveryOrder) -> None:
        """Become the one that decodes, encodes and uploads; an earlier try is forgotten."""
        role = self._role(epoch)
        role.profile = self._engine.profile
        role.open_delivery(plan, order, self._engine, self._metrics.doing)
        role.opened_s = self._without_waiting_s()

    @ray.method(concurrency_group="delivery")
    def push(self, epoch: int, index: int, slots_TCHW: NDArray[np.float32]) -> int:
        """Take the next run of slots; give the number of frames encoded so far."""
        # Whether gradients are kept is each thread's own affair.
        with torch.no_grad():
            slots = torch.from_numpy(slots_TCHW.copy())
            return self._encoded(self._role(epoch).push(index, slots))

    @ray.method(concurrency_group="delivery")
    def open_piece(
        self,
        epoch: int,
        index: int,
        piece: Piece,
        tiling: Tiling | None,
        *slots_TCHW: NDArray[np.float32],
    ) -> None:
        """Begin to decode a piece of the video; an earlier one is forgotten."""
        stage, profile = self._metrics.doing, self._engine.profile
        worker = PieceWorker(self._engine, piece, tiling, slots_TCHW, stage, profile=profile)
        self._role(epoch).piece = index, worker

    @ray.method(concurrency_group="delivery", num_returns=2)
    def decode_run(self, epoch: int, index: int, run: Span) -> tuple[NDArray[np.uint8], RunReport]:
        """The frames of the next run of the piece at hand, and how many they are."""
        with torch.no_grad():
            return self._role(epoch).worker(index).decode(run)

    @ray.method(concurrency_group="delivery")
    def push_frames(self, epoch: int, index: int, frames_FHWC: NDArray[np.uint8]) -> int:
        """Take the next run of frames, decoded by anyone; give the number encoded so far."""
        return self._encoded(self._role(epoch).push_frames(index, frames_FHWC))

    @ray.method(concurrency_group="delivery")
    def deliver(self, epoch: int) -> Delivered:
        """Complete, check and upload the video, and forget it."""
        role = self._role(epoch)
        delivered = role.deliver(self._open_store())
        took_s = self._without_waiting_s() - role.opened_s
        delivered = replace(delivered, took_s=took_s)
        video = delivered.video
        self._log.note(role, f"delivered {video.key}, {video.size_bytes} bytes")
        self._leave(role.video)
        return delivered

    @ray.method(concurrency_group="control")
    def abandon(self, video: str | None = None) -> None:
        """Forget a video, or all, and what lies of it on the local disk; the engine stays."""
        self._leave(video)

    def _encoded(self, frames: tuple[int, int]) -> int:
        num_frames, num_new = frames
        self._metrics.frames(num_new)
        return num_frames

    def _without_waiting_s(self) -> float:
        """A clock of the calling thread that stands still while it waits for the engine."""
        return time.perf_counter() - self._engine.waited_s

    def _leave(self, video: str | None) -> None:
        for epoch, role in list(self._roles.items()):
            if video in {None, role.video}:
                self._roles.pop(epoch, None)
                role.abandon()

    def _leave_unfinished(self) -> None:
        """Of two videos on an actor one is sampled: what is not, is nobody's any more."""
        for role in list(self._roles.values()):
            if not role.is_sampled:
                self._leave(role.video)

    def _role(self, epoch: int, step: int | None = None) -> Role:
        """The role that a call is meant for, if it is there and, where it matters, at that step."""
        role = self._roles.get(epoch)
        if role is None:
            at = ", ".join(map(str, sorted(self._roles))) or "none"
            raise SegmentError(f"got a call for epoch {epoch}, but this actor is at epoch {at}")
        if step is not None:
            role.expect(step)
        return role

    def _computed(self, role: Role, compute: Callable[[], T]) -> T:
        """A part of the step at hand; what goes wrong in it bears the segment's number."""
        sampler = role.sampler
        step, waited_s = sampler.step, self._engine.waited_s
        try:
            return compute()
        except NightreelError as error:
            self._log.failed(role, step, error)
            raise
        except Exception as error:
            where = f"video '{role.video}', segment {sampler.segment}, step {step}"
            message = f"{where}: {type(error).__name__}: {error}"
            self._log.failed(role, step, error)
            raise StepFailedError(sampler.segment, message) from error
        finally:
            role.waited_s += self._engine.waited_s - waited_s
