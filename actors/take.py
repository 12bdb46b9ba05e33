"""One attempt at one video, driven by references alone.

The driver never touches a tensor. It hands each actor the references of its neighbours' boundaries
and submits a step as soon as those references exist, a few steps ahead of the actor; Ray starts it
when the boundaries are there. There is no barrier: a segment waits for its neighbours and for
nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import ray

from actors.failures import RAY_FAILURES, SegmentDiedError, reraise
from actors.handles import wait_for
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.handles import SegmentHandle, StepRefs
    from actors.placement import GangOptions
    from actors.segment import StepReport
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition

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
class Take:
    """One attempt at one video: ``sample``, then ``deliver``; made by ``Gang.begin``."""

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

    def slots(self) -> Iterator[ObjectRef[NDArray[np.float32]]]:
        """Finished slots ``[T, C, H, W]``, in order, a few at a time; asked for one by one."""
        for segment, handle in enumerate(self.handles):
            owned = self.partition.owned(self.plan.num_steps - 1, segment)
            for start in range(owned.start, owned.stop, SLOTS_PER_PUSH):
                span = Span(start, min(start + SLOTS_PER_PUSH, owned.stop))
                yield handle.slots(self.epoch, span, self.plan.request.id)

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
        for index, slots in enumerate(self.slots()):
            pending.append(carrier.push(self.epoch, index, slots, video))
            if len(pending) == PUSHES_AHEAD:
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
        title = f"{self.plan.request.id}/segment-{segment:03d}"
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
            limit_s = self.options.step_timeout_s
            raise SegmentDiedError(f"{doing}: no step finished in {limit_s:g} s")
        more, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
        reports = []
        for ref in {*ready, *more}:
            segment = running.pop(ref)
            try:
                reports.append(ray.get(ref))
            except RAY_FAILURES as error:
                reraise(error, f"{doing}, segment {segment}")
        return reports
