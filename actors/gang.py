"""A gang: the actors that render one video together, driven by references alone.

The driver never touches a tensor. It hands each actor the references of its neighbours' boundaries
and submits a step as soon as those references exist, a few steps ahead of the actor; Ray starts it
when the boundaries are there. There is no barrier: a segment waits for its neighbours and for
nobody else.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import ray

from actors.cluster import cluster_resources
from actors.failures import RAY_FAILURES, SegmentDiedError, reraise
from actors.handles import SegmentHandle, close_all, keep, wait_for
from actors.placement import release, reserve, share_out
from pipeline.errors import ClusterError, SegmentError
from pipeline.segments import cut
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from ray import ObjectRef

    from actors.handles import StepRefs
    from actors.placement import GangOptions
    from actors.segment import StepReport
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.engines.registry import EngineOptions
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.gang")

# Slots decoded in one call: small enough that two in flight are nothing, large enough that a call's
# millisecond is nothing either.
SLOTS_PER_PUSH = 8

# Runs of slots on their way to the decoder: one being decoded, one waiting.
PUSHES_AHEAD = 2


class Watcher(Protocol):
    """Told of what happens to a video while it is rendered; called from the driver's thread."""

    def on_start(self, num_segments: int) -> None:
        """An attempt begins, with that many segments."""
        ...

    def on_step(self, report: StepReport) -> None:
        """A segment finished a step."""
        ...

    def on_frames(self, num_frames: int) -> None:
        """So many frames are encoded by now."""
        ...


class Gang:
    """Warm actors in a placement group; renders one video after another.

    Use as a context manager: leaving it ends the actors and gives the room back.
    """

    def __init__(
        self, engine: EngineOptions, options: GangOptions, store: StoreFactory, name: str
    ) -> None:
        """Reserve the room and start the actors; they load their engines.

        Raises:
            ClusterError: no room on the cluster, or an actor could not start.
            WeightsError: the engine's weights are missing or damaged.
        """
        self._options = options
        share = share_out(options, cluster_resources())
        self._group = reserve(share, options.placement_timeout_s)
        self._epochs = itertools.count(1)
        self._handles = [
            SegmentHandle.start(
                f"{name}/actor-{place:03d}",
                self._group,
                place,
                num_cpus=share.num_cpus,
                num_gpus=share.num_gpus,
                threads=options.threads_per_actor,
                engine=engine,
                store=store,
            )
            for place in range(share.num_actors)
        ]
        try:
            places = wait_for(
                [handle.identity() for handle in self._handles],
                timeout_s=options.load_timeout_s,
                doing="loading the engine",
            )
        except SegmentDiedError as error:
            self.close()
            raise ClusterError(f"no actor could load the engine: {error}") from error
        except BaseException:
            self.close()
            raise
        for handle, (node, pid) in zip(self._handles, places, strict=True):
            logger.info("%s: node %s, process %d", handle.name, node[:8], pid)

    def __len__(self) -> int:
        """Number of actors."""
        return len(self._handles)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the actors and give the room back; nothing if that is done already."""
        handles, self._handles = self._handles, []
        if handles:
            close_all(handles)
            release(self._group)

    def render(
        self,
        plan: VideoPlan,
        order: DeliveryOrder,
        watcher: Watcher,
    ) -> Delivered:
        """Render one video from noise to verified objects.

        Args:
            plan: what to make.
            order: where it goes.
            watcher: told of every finished step and of the frames encoded.

        Raises:
            SegmentDiedError: an actor died or hung; make a new gang and try again.
            NightreelError: the video itself can't be made, encoded or stored.
        """
        take = self._begin(plan)
        watcher.on_start(take.partition.num_segments)
        take.sample(watcher)
        return take.deliver(order, watcher)

    def _begin(self, plan: VideoPlan) -> _Take:
        partition = cut(plan.boundary, len(self._handles), plan.num_steps)
        handles = self._handles[: partition.num_segments]
        epoch, plan_ref = next(self._epochs), keep(plan)
        embeds, partition_ref = handles[0].encode_prompts(plan), keep(partition)
        begun = [
            handle.begin(
                plan.request.id,
                epoch,
                segment,
                plan=plan_ref,
                partition=partition_ref,
                prompt_embeds=embeds,
            )
            for segment, handle in enumerate(handles)
        ]
        wait_for(
            begun,
            timeout_s=self._options.step_timeout_s,
            doing=f"video '{plan.request.id}': encoding prompts and drawing noise",
        )
        return _Take(plan, plan_ref, partition, handles, epoch, self._options)


@dataclass(slots=True)
class _Track:
    """How far one segment is, and the boundaries that its neighbours have yet to be given."""

    num_submitted: int = 0
    num_finished: int = 0
    refs: dict[int, StepRefs] = field(default_factory=dict)

    def forget_before(self, step: int) -> None:
        """Let go of boundaries that every neighbour has been given; Ray then frees them."""
        for passed in [other for other in self.refs if other < step]:
            del self.refs[passed]


def _neighbours(segment: int, tracks: list[_Track]) -> list[int]:
    return [other for other in (segment - 1, segment + 1) if 0 <= other < len(tracks)]


@dataclass(slots=True)
class _Take:
    """One attempt at one video."""

    plan: VideoPlan
    plan_ref: ObjectRef[VideoPlan]
    partition: Partition
    handles: list[SegmentHandle]
    epoch: int
    options: GangOptions

    def sample(self, watcher: Watcher) -> None:
        """Submit every step as early as its inputs and the look-ahead allow, until all are done."""
        tracks = [_Track() for _ in self.handles]
        running: dict[ObjectRef[StepReport], int] = {}
        while any(track.num_finished < self.plan.num_steps for track in tracks):
            for segment in range(len(tracks)):
                while self._may_submit(segment, tracks):
                    running[self._submit(segment, tracks)] = segment
            for report in self._next_reports(running):
                tracks[report.segment].num_finished += 1
                watcher.on_step(report)

    def deliver(self, order: DeliveryOrder, watcher: Watcher) -> Delivered:
        """Stream all slots, in order, through the first actor's decoder into the store."""
        carrier, video = self.handles[0], self.plan.request.id
        opened = carrier.open_delivery(self.epoch, self.plan_ref, order, video)
        doing = f"video '{video}': decoding"
        timeout_s = self.options.decode_timeout_s
        if order.latents_prefix is not None:
            stored = [h.persist(self.epoch, order.latents_prefix, video) for h in self.handles]
            wait_for(stored, timeout_s=timeout_s, doing=f"video '{video}': storing latents")
        wait_for([opened], timeout_s=timeout_s, doing=doing)
        pending: list[ObjectRef[int]] = []
        for index, (handle, span) in enumerate(self._runs()):
            slots = handle.slots(self.epoch, span, video)
            pending.append(carrier.push(self.epoch, index, slots, video))
            if len(pending) > PUSHES_AHEAD:
                watcher.on_frames(wait_for([pending.pop(0)], timeout_s=timeout_s, doing=doing)[0])
        for encoded in pending:
            watcher.on_frames(wait_for([encoded], timeout_s=timeout_s, doing=doing)[0])
        delivery = carrier.deliver(self.epoch, video)
        delivered = wait_for([delivery], timeout_s=timeout_s, doing=f"video '{video}': delivering")
        for handle in self.handles[1:]:
            handle.abandon()
        return delivered[0]

    def _may_submit(self, segment: int, tracks: list[_Track]) -> bool:
        track = tracks[segment]
        step = track.num_submitted
        if step == self.plan.num_steps or step > track.num_finished + self.options.steps_ahead:
            return False
        return all(tracks[other].num_submitted >= step for other in _neighbours(segment, tracks))

    def _submit(self, segment: int, tracks: list[_Track]) -> ObjectRef[StepReport]:
        step = tracks[segment].num_submitted
        from_left = from_right = None
        if step > 0 and segment > 0:
            from_left = tracks[segment - 1].refs[step - 1].to_right
        if step > 0 and segment + 1 < len(tracks):
            from_right = tracks[segment + 1].refs[step - 1].to_left
        title = f"{self.plan.request.id}/segment-{segment:03d}/step-{step:03d}"
        refs = self.handles[segment].step(title, self.epoch, step, from_left, from_right)
        tracks[segment].refs[step] = refs
        tracks[segment].num_submitted += 1
        for other in _neighbours(segment, tracks):
            needed_from = min(tracks[n].num_submitted for n in _neighbours(other, tracks)) - 1
            tracks[other].forget_before(needed_from)
        return refs.report

    def _next_reports(self, running: dict[ObjectRef[StepReport], int]) -> list[StepReport]:
        """Wait for at least one step to finish; then take all that have."""
        doing = f"video '{self.plan.request.id}': sampling"
        ready, _ = ray.wait(list(running), timeout=self.options.step_timeout_s)
        if not ready:
            raise SegmentError(f"{doing}: no step finished in {self.options.step_timeout_s:g} s")
        more, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
        reports = []
        for ref in {*ready, *more}:
            segment = running.pop(ref)
            try:
                reports.append(ray.get(ref))
            except RAY_FAILURES as error:
                reraise(error, f"{doing}, segment {segment}")
        return reports

    def _runs(self) -> Iterator[tuple[SegmentHandle, Span]]:
        """All slots in order, a few at a time, with the actor that has them."""
        for segment, handle in enumerate(self.handles):
            owned = self.partition.owned(self.plan.num_steps - 1, segment)
            for start in range(owned.start, owned.stop, SLOTS_PER_PUSH):
                yield handle, Span(start, min(start + SLOTS_PER_PUSH, owned.stop))
