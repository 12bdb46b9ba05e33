"""One take of one video: every segment from a cut to its end, whoever dies on the way.

The driver never touches a tensor. It hands each actor the references of its neighbours' boundaries
and submits a step as soon as those references exist, a few steps ahead of the actor; Ray starts it
when the boundaries are there. There is no barrier: a segment waits for its neighbours and for
nobody else.

An actor that dies or hangs is replaced. The new one begins at the last whole cut and is given its
steps again, with the boundaries that the driver has kept since; its neighbours wait for it and
lose nothing. What it will owe them it computes bit by bit the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import ray
from ray import exceptions

from actors.failures import (
    RAY_FAILURES,
    Fault,
    GangBrokenError,
    SegmentDiedError,
    SegmentOutOfMemoryError,
    fault_of,
    in_short,
    reraise,
)
from actors.guard import Guard
from actors.nodes import living_nodes
from actors.pause import Pause
from actors.retained import RetainedBoundaries
from actors.streaming import finished_slots, stream
from actors.track import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef

    from actors.crew import Crew
    from actors.cuts import Cuts
    from actors.handles import SegmentHandle
    from actors.losses import Losses
    from actors.placement import GangOptions
    from actors.step_report import StepReport
    from actors.track import Track
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.plan import VideoPlan
    from pipeline.segments import Partition

logger = logging.getLogger("nightreel.take")

# The loop looks after its actors and their nodes at least so often.
TICK_S = 1.0


class Watcher(Protocol):
    """Told of what happens to a video while it is rendered; called from the driver's thread."""

    def on_start(self, num_segments: int, first_step: int) -> None:
        """A take begins, with that many segments, all at that step."""
        ...

    def on_step(self, report: StepReport) -> None:
        """A segment finished a step that none before it in this take had finished."""
        ...

    def on_frames(self, num_frames: int) -> None:
        """So many frames are encoded by now."""
        ...


@dataclass(slots=True)
class Take:
    """One take of one video: ``sample``, then ``deliver``; made by ``Gang.begin``.

    Attributes:
        plan, plan_ref: what is made.
        partition: who owns what.
        tracks: how far each segment is.
        crew: where actors come from.
        cuts: the snapshots.
        begins: submits ``begin`` to a track's actor, from the newest cut.
        next_epoch: a number for each actor that begins.
        losses: what it has cost so far.
        pause: whether it is to stop on the way.
    """

    plan: VideoPlan
    plan_ref: ObjectRef[VideoPlan]
    partition: Partition
    tracks: list[Track]
    crew: Crew
    cuts: Cuts
    options: GangOptions
    losses: Losses
    begins: Callable[[Track, Cuts], ObjectRef[None]]
    next_epoch: Callable[[], int]
    pause: Pause = field(default_factory=Pause)
    retained: RetainedBoundaries = field(default_factory=RetainedBoundaries)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = Guard(self.options, self.crew.load_limit)
        for track in self.tracks:
            track.owed.append(Task("begin", track.first_step, self.begins(track, self.cuts)))

    @property
    def handles(self) -> list[SegmentHandle]:
        """The actors that compute the segments now, in order."""
        return [track.handle for track in self.tracks]

    @property
    def epoch(self) -> int:
        """The epoch that all actors began with; those that were replaced have later ones."""
        return min(track.epoch for track in self.tracks)

    def sample(self, watcher: Watcher) -> None:
        """Bring every segment to its end, and the finished latents into the store.

        Raises:
            GangBrokenError: a node is gone; all must go back to the last whole cut.
            SegmentDiedError: a step has cost too many processes.
            PausedError: it was to stop, and has.
            NightreelError: the video can't be made or stored.
        """
        while not self._is_done():
            self.pause.heed(self.plan.request.id, self.tracks, self.cuts)
            for track in self.tracks:
                self._submit(track)
            for track in self._wait():
                self._settle(track, watcher)
            self._look_after_actors()
            self._prune()

    def slots(self) -> Iterator[ObjectRef[NDArray[np.float32]]]:
        """Finished slots ``[T, C, H, W]``, in order, a few at a time; asked for one by one."""
        return finished_slots(self)

    def deliver(self, order: DeliveryOrder, watcher: Watcher) -> Delivered:
        """Decode, encode, check and upload; whoever dies of it is replaced, and it begins again.

        Raises:
            SegmentDiedError: that has cost too many tries.
            NightreelError: the video can't be encoded or stored.
        """
        for tries_left in reversed(range(self.options.max_deaths)):
            try:
                return stream(self, order, watcher, self.tracks[0])
            except SegmentDiedError as error:
                if not tries_left:
                    raise
                logger.warning("%s; decoding begins again", error)
            self.losses.restreams()
            for track in self.tracks:
                ping = track.handle.ping(track.epoch)
                track.owed.append(Task("ping", self.plan.num_steps, ping))
            self.sample(watcher)
        raise AssertionError("unreachable: the last try returns or raises")

    def cancel(self) -> None:
        """Take back what was submitted: a call that waits for a lost boundary blocks its actor."""
        for track in self.tracks:
            for ref in (ref for task in track.owed for ref in task.refs):
                ray.cancel(ref)
            track.owed.clear()

    def _is_done(self) -> bool:
        ended = all(t.next_report == self.plan.num_steps and not t.owed for t in self.tracks)
        return ended and self.cuts.is_last_settled

    # --- submitting -------------------------------------------------------------------------------

    def _neighbours(self, track: Track) -> list[Track]:
        both = (track.segment - 1, track.segment + 1)
        return [self.tracks[other] for other in both if 0 <= other < len(self.tracks)]

    def _submit(self, track: Track) -> None:
        while self._may_submit(track):
            self._submit_step(track)
        if not track.owed and self._owes_share(track):
            flush = track.handle.flush(track.epoch, self.plan.request.id)
            track.owed.append(Task("flush", track.next_report, flush))

    def _may_submit(self, track: Track) -> bool:
        step = track.next_submit
        if step == self.plan.num_steps or step > track.next_report + self.options.steps_ahead:
            return False
        if not self.pause.allows(step):
            return False
        if step > track.first_step and any(
            self.retained.get(other.segment, step - 1) is None for other in self._neighbours(track)
        ):
            return False
        return self.cuts.may_run(step)

    def _submit_step(self, track: Track) -> None:
        step, segment = track.next_submit, track.segment
        from_left = from_right = None
        if step > track.first_step:
            left = self.retained.get(segment - 1, step - 1)
            right = self.retained.get(segment + 1, step - 1)
            from_left = None if left is None else left.to_right
            from_right = None if right is None else right.to_left
        title = f"{self.plan.request.id}/segment-{segment:03d}"
        saves = self.cuts.saves(step)
        refs = track.handle.step(title, track.epoch, step, from_left, from_right, saves=saves)
        self.retained.put(segment, step, refs)
        track.owed.append(Task("step", step, refs.report, saves, refs))
        track.next_submit += 1
        self._forget()

    def _prune(self) -> None:
        """Older cuts go when no actor can be reading one."""
        if not any(task.kind == "begin" for track in self.tracks for task in track.owed):
            self.cuts.prune()

    def _owes_share(self, track: Track) -> bool:
        return any(
            self.cuts.owes(cut_step, self.partition.owned(cut_step - 1, track.segment).start)
            for cut_step in self.cuts.open_cuts
            if cut_step <= track.next_report
        )

    def _forget(self) -> None:
        """A replacement begins at the newest cut; those that run need what they have yet to get."""
        next_needed = min(track.next_submit for track in self.tracks) - 1
        self.retained.forget_before(min(self.cuts.base_step, next_needed))

    # --- answers ----------------------------------------------------------------------------------

    def _wait(self) -> list[Track]:
        """The tracks whose oldest call is answered, after a moment's wait for any."""
        heads = {track.owed[0].ref: track for track in self.tracks if track.owed}
        if not heads:
            assert self._is_done(), f"video '{self.plan.request.id}': nothing left to wait for"
            return []
        ready, _ = ray.wait(list(heads), timeout=TICK_S)
        if len(heads) > 1 and ready:
            ready, _ = ray.wait(list(heads), num_returns=len(heads), timeout=0)
        return [heads[ref] for ref in ready]

    def _settle(self, track: Track, watcher: Watcher) -> None:
        task = track.owed[0]
        try:
            *_, answer = ray.get(task.refs)
        except RAY_FAILURES as error:
            self._recover(track, error)
            return
        track.owed.popleft()
        if task.kind == "load":
            self.crew.located(track.handle, *answer)
        elif task.kind == "flush":
            for saved in answer:
                self.cuts.note(saved)
            self._forget()
        elif task.kind == "step":
            assert task.gives is not None
            self.retained.put(track.segment, task.step, task.gives)
            self._finish_step(track, answer, watcher)

    def _finish_step(self, track: Track, report: StepReport, watcher: Watcher) -> None:
        track.next_report += 1
        is_new = track.next_report > track.furthest
        track.furthest = max(track.furthest, track.next_report)
        self.guard.step_limit.learn(report.compute_s + report.save_s)
        self.retained.measured(track.segment, report.step, report.sent_bytes)
        for saved in report.saved:
            self.cuts.note(saved)
        self._forget()
        if is_new:
            watcher.on_step(report)
        else:
            self.losses.replays(1)

    # --- the dead and the hung --------------------------------------------------------------------

    def _doing(self, track: Track) -> str:
        step = min(track.next_report, self.plan.num_steps - 1)
        return f"video '{self.plan.request.id}', segment {track.segment}, step {step}"

    def _recover(self, track: Track, error: Exception) -> None:
        match fault_of(error, track.segment):
            case Fault.PROCESS:
                for_memory = isinstance(error, exceptions.OutOfMemoryError)
                self._replace(track, in_short(error), for_memory=for_memory)
            case Fault.NEIGHBOUR:
                self._drop_unfinished(track)
                track.rewind()
            case Fault.BOUNDARY_LOST:
                raise GangBrokenError(f"{self._doing(track)}: {in_short(error)}") from error
            case Fault.NOBODY_ELSE:
                reraise(error, self._doing(track))

    def _replace(self, track: Track, reason: str, *, for_memory: bool = False) -> None:
        """Start another actor in the dead one's place and let it replay.

        Raises:
            SegmentOutOfMemoryError: this step has cost too many, the last for want of memory.
            GangBrokenError: the place is gone with its node.
            SegmentDiedError: this step has cost too many already.
        """
        doing = self._doing(track)
        if self.crew.node_of(track.handle) not in living_nodes():
            raise GangBrokenError(f"{doing}: its node is gone: {reason}")
        may_go_on = self.losses.died(track.segment, track.next_report)
        handle = self.crew.replace(track.handle)
        if not may_go_on:
            died = SegmentOutOfMemoryError if for_memory else SegmentDiedError
            raise died(f"{doing}: {self.losses.max_deaths} processes died: {reason}")
        track.restart(handle, self.next_epoch(), self.cuts.base_step)
        self._drop_unfinished(track)
        logger.warning("%s: replaced, goes on from step %d: %s", doing, self.cuts.base_step, reason)
        track.owed.append(Task("load", track.first_step, handle.identity()))
        track.owed.append(Task("begin", track.first_step, self.begins(track, self.cuts)))

    def _drop_unfinished(self, track: Track) -> None:
        """Nobody is to be given what this track's unfinished steps, as submitted, will not give."""
        finished = [other.furthest for other in self.tracks]
        self.retained.drop_cone(track.segment, track.furthest, finished)

    def _look_after_actors(self) -> None:
        """Replace who hangs, go back if a node is gone, take a snapshot if one soon will be.

        Raises:
            GangBrokenError: a node is gone.
            SegmentDiedError: a step has cost too many processes.
        """
        for track, limit_s in self.guard.hung(self.tracks):
            self._replace(track, f"hung: no answer in {limit_s:g} s")
        places = [self.crew.node_of(track.handle) for track in self.tracks]
        if self.guard.look_at_nodes({node for node in places if node is not None}):
            step = max(track.next_submit for track in self.tracks)
            logger.warning("a node is being drained: a snapshot is taken after step %d", step)
            self.cuts.request(step)
