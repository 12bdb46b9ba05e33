"""The only place where actors are called: typed, named, with nothing retried by Ray.

A task's name is what the Ray dashboard shows of it: job, video and segment. An actor's repr freezes
when it is made, so it only tells its seat. Ray never forgets a task's name: each costs the driver,
the actor and the node's agent about 20 kB of metrics, whatever ``RAY_metric_cardinality_level``
says (measured on 2.60). So a video has one name per segment and one for its delivery, and none per
step: a night of a thousand videos would otherwise cost the driver gigabytes. The step is in the
actor's log, see ``actors.worker_log``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import ray

from actors.failures import RAY_FAILURES, reraise
from actors.segment import CONCURRENCY_GROUPS, Assignment, SegmentActor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef
    from ray.util.placement_group import PlacementGroup

    from actors.image_arrays import ImageArrays
    from actors.piece_worker import RunReport
    from actors.seat import Seat
    from actors.snapshot_writer import Saved
    from actors.step_report import StepReport
    from actors.terms import Terms
    from actors.usage import ActorUsage
    from pipeline.decode_pieces import Piece
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.message import BoundaryMessage
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition
    from pipeline.spans import Span
    from pipeline.stores import StoreFactory
    from pipeline.tiling import Tiling

T = TypeVar("T")

# Long enough to remove a scratch file, short enough that nobody waits for a hung actor.
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StepRefs:
    """What one step gives, owned by the driver, so that it outlives the actor.

    Attributes:
        to_left, to_right: boundaries, there when the first part of the step is done.
        begun: that this part went well.
        report: that all of it did.
    """

    to_left: ObjectRef[BoundaryMessage | None]
    to_right: ObjectRef[BoundaryMessage | None]
    begun: ObjectRef[None]
    report: ObjectRef[StepReport]


class SegmentHandle:
    """A segment actor, with the types that ``ray.remote`` takes away."""

    def __init__(self, actor: Any, seat: Seat) -> None:
        self._actor, self.seat = actor, seat

    @property
    def name(self) -> str:
        """For logs."""
        return str(self.seat)

    @property
    def place(self) -> int:
        """Number of its bundle."""
        return self.seat.place

    @classmethod
    def start(
        cls, seat: Seat, group: PlacementGroup, terms: Terms, store: StoreFactory
    ) -> SegmentHandle:
        """Make the actor in its bundle; it loads its engine while the driver goes on."""
        # Ray's annotations do not know that an actor may have threads.
        remote: Any = ray.remote
        remote_class = remote(concurrency_groups=CONCURRENCY_GROUPS)(SegmentActor)
        actor = remote_class.options(
            num_cpus=terms.share.num_cpus,
            num_gpus=terms.share.num_gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(
                placement_group=group, placement_group_bundle_index=seat.place
            ),
        ).remote(terms.engine, terms.threads, store, seat)
        return cls(actor, seat)

    @property
    def actor(self) -> Any:
        """What Ray knows it by."""
        return self._actor

    def enlist(self, store: StoreFactory) -> ObjectRef[None]:
        """Have it work for this seat's job from now on."""
        return self._call("enlist", "enlist", self.seat, store)

    def identity(self) -> ObjectRef[tuple[str, int]]:
        """Node id and process id, once the engine is loaded."""
        return self._call("identity", "load engine")

    def usage(self) -> ObjectRef[ActorUsage]:
        """How it has spent its time."""
        return self._call("usage", "usage")

    def check_encoder(self, options: EncodeOptions) -> ObjectRef[None]:
        """Try the encoder on the actor's node; once per actor."""
        return self._call("check_encoder", "check encoder", options)

    def encode_prompts(self, prompts: Sequence[str]) -> list[ObjectRef[NDArray[np.float32]]]:
        """Embeddings of prompts, a reference each."""
        name, count = self._of_job("prompts"), len(prompts)
        refs: Any = self._actor.encode_prompts.options(name=name, num_returns=count).remote(prompts)
        return [refs] if count == 1 else refs

    def encode_image(self, plan: VideoPlan) -> ObjectRef[ImageArrays | None]:
        """A plan's image as its windows are told of it, if there is one."""
        return self._call("encode_image", self._of_job(f"{plan.request.id}/image"), plan)

    def begin(
        self,
        video: str,
        assignment: Assignment,
        *,
        plan: ObjectRef[VideoPlan],
        partition: ObjectRef[Partition],
        prompt_embeds: Sequence[ObjectRef[NDArray[np.float32]]],
        image: ObjectRef[ImageArrays | None],
    ) -> ObjectRef[None]:
        """Take over a segment, from a cut if there is one."""
        title = self._of_job(f"{video}/segment-{assignment.segment:03d}")
        return self._call("begin", title, assignment, plan, partition, image, *prompt_embeds)

    def step(
        self,
        title: str,
        epoch: int,
        step: int,
        from_left: ObjectRef[BoundaryMessage | None] | None,
        from_right: ObjectRef[BoundaryMessage | None] | None,
        *,
        saves: bool = False,
    ) -> StepRefs:
        """Compute one step; Ray waits for the boundaries, which are top-level arguments.

        Two calls, which the actor answers in this order: what the neighbours need is theirs as soon
        as the first is done.
        """
        title = self._of_job(title)
        given: Any = self._call("step", title, epoch, step, from_left, from_right)
        to_left, to_right, begun = given
        report = self._call("finish", title, epoch, step, saves)
        return StepRefs(to_left, to_right, begun, report)

    def slots(self, epoch: int, span: Span, video: str) -> ObjectRef[NDArray[np.float32]]:
        """Finished slots."""
        return self._call("slots", self._of_job(f"{video}/delivery"), epoch, span)

    def flush(self, epoch: int, video: str) -> ObjectRef[tuple[Saved, ...]]:
        """What was stored of snapshots since the last report, once nothing is under way."""
        return self._call("flush", self._of_job(f"{video}/snapshot"), epoch)

    def ping(self, epoch: int) -> ObjectRef[int]:
        """The next step; refused unless the actor is at this epoch."""
        return self._call("ping", "ping", epoch)

    def open_delivery(
        self, epoch: int, plan: ObjectRef[VideoPlan], order: DeliveryOrder, video: str
    ) -> ObjectRef[None]:
        """Make this actor the one that decodes, encodes and uploads."""
        return self._call("open_delivery", self._of_job(f"{video}/delivery"), epoch, plan, order)

    def push(
        self, epoch: int, index: int, slots: ObjectRef[NDArray[np.float32]], video: str
    ) -> ObjectRef[int]:
        """Decode and encode the next run of slots."""
        return self._call("push", self._of_job(f"{video}/delivery"), epoch, index, slots)

    def open_piece(
        self,
        epoch: int,
        index: int,
        piece: Piece,
        *,
        tiling: Tiling | None,
        slots: Sequence[ObjectRef[NDArray[np.float32]]],
        video: str,
    ) -> ObjectRef[None]:
        """Give it a piece to decode, with the latents of it in order."""
        title = self._of_job(f"{video}/decode")
        return self._call("open_piece", title, epoch, index, piece, tiling, *slots)

    def decode_run(
        self, epoch: int, index: int, run: Span, video: str
    ) -> tuple[ObjectRef[NDArray[np.uint8]], ObjectRef[RunReport]]:
        """Decode the next run of its piece: the frames, and that they are there."""
        frames: Any = self._call("decode_run", self._of_job(f"{video}/decode"), epoch, index, run)
        return frames[0], frames[1]

    def push_frames(
        self, epoch: int, index: int, frames: ObjectRef[NDArray[np.uint8]], video: str
    ) -> ObjectRef[int]:
        """Encode the next run of frames."""
        return self._call("push_frames", self._of_job(f"{video}/delivery"), epoch, index, frames)

    def deliver(self, epoch: int, video: str) -> ObjectRef[Delivered]:
        """Complete, check and upload."""
        return self._call("deliver", self._of_job(f"{video}/delivery"), epoch)

    def abandon(self, video: str | None = None) -> ObjectRef[None]:
        """Forget a video, or all, and tidy the local disk."""
        return self._call("abandon", "abandon", video)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        ray.kill(self._actor)

    def _of_job(self, title: str) -> str:
        return f"{self.seat.job}/{title}"

    def _call(self, method: str, title: str, *arguments: Any) -> ObjectRef[Any]:
        ref: ObjectRef[Any] = getattr(self._actor, method).options(name=title).remote(*arguments)
        return ref


def wait_for(refs: Sequence[ObjectRef[T]], *, timeout_s: float, doing: str) -> list[T]:
    """The values of small results, in order.

    Raises:
        NightreelError: what the failure means, see ``actors.failures``.
    """
    try:
        return list(ray.get(list(refs), timeout=timeout_s))
    except RAY_FAILURES as error:
        reraise(error, doing)


def keep(value: T) -> ObjectRef[T]:
    """Put a small value into the object store once, to be given to many calls."""
    return ray.put(value)


def abandon_all(handles: Sequence[SegmentHandle], video: str | None = None) -> None:
    """Let actors forget a video, or all: nothing is written from then on by who answers."""
    if handles:
        refs = [handle.abandon(video) for handle in handles]
        ray.wait(refs, num_returns=len(refs), timeout=CLOSE_TIMEOUT_S)


def close_all(handles: Sequence[SegmentHandle]) -> None:
    """Let the actors tidy up, then end them; one that does not answer is ended all the same."""
    abandon_all(handles)
    for handle in handles:
        handle.kill()
