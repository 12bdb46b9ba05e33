"""Chooses order and gang of every video, so that the last one is done soon.

The planner aims at the earliest end that everything could have (``bound.target_s``). Each video in
turn gets the smallest gang that is done by then: with much to do that is one GPU, which wastes
none; the longest videos, and the last ones, get more. If too few GPUs are free, it starts on these
or waits for more, whichever ends sooner; what it waits with is lent to videos that end before.

It is deterministic, and knows only what it is told: see ``scheduler.Scheduler``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from pipeline.planning.bound import target_s
from pipeline.planning.gang_choice import Choice, GangChoice
from pipeline.planning.pace import Paces
from pipeline.planning.releases import Releases
from pipeline.planning.roster import Assignment, Roster
from pipeline.planning.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.planning.free_gpus import Node
    from pipeline.planning.task import VideoTask, Work

# The target is computed anew when a sixteenth of the work, or of the GPUs, has come or gone.
_REPLAN_SHARE: Final = 1 / 16

# So many videos are looked at for one that ends before the gang that is waited for comes together.
_MAX_LOOKED_AT: Final = 64


@dataclass(frozen=True, slots=True)
class _Target:
    """When everything should be done, and what that was computed for."""

    end_s: float
    waiting_gpu_s: float
    num_gpus: int


class Planner:
    """See the module; implements ``Scheduler``."""

    def __init__(self) -> None:
        self._roster = Roster()
        self._waiting = Waiting()
        self._paces = Paces()
        self._releases = Releases(self._roster)
        self._gangs = GangChoice(self._roster.free, self._releases, self._paces)
        self._target: _Target | None = None

    @property
    def num_waiting(self) -> int:
        """Videos that have not started, or have lost their gang."""
        return len(self._waiting)

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        """More videos are to be rendered."""
        for task in tasks:
            self._waiting.add(task)

    def node_joined(self, node: Node) -> None:
        """A node is there.

        Raises:
            ValueError: it was there already.
        """
        self._roster.join(node)

    def node_left(self, name: str) -> list[str]:
        """A node is gone; the videos that had a part in it, each of which is now ``lost``.

        Raises:
            ValueError: it was not there.
        """
        return self._roster.leave(name)

    def sampled(self, video_id: str) -> None:
        """A video has its latents: all but the first GPU of its gang are free.

        Raises:
            ValueError: it is not running.
        """
        self._roster.sampled(video_id)

    def finished(self, video_id: str, now_s: float) -> None:
        """A video is delivered, or has failed for good; what it took corrects the estimates.

        Raises:
            ValueError: it is not running.
        """
        done = self._roster.end(video_id)
        work, gang = done.task.work, len(done.gpus)
        expected_s = work.sampling_s[work.gangs.index(gang)] + work.decode_s
        if self._paces.learn(work.kind, now_s - done.start_s, expected_s):
            self._waiting.correct(self._paces.in_use)
            self._target = None

    def withdraw(self, video_id: str) -> None:
        """A video that waits or runs is not wanted any more; nothing is learnt from it.

        Raises:
            ValueError: it does neither.
        """
        task = self._waiting.find(video_id)
        if task is None:
            self._roster.end(video_id)
        else:
            self._waiting.remove(task)

    def upcoming(self, count: int) -> list[str]:
        """The first videos of those that wait, at most one of every kind of work."""
        return [task.id for task in islice(self._waiting.in_order(), count)]

    def lost(self, video_id: str, num_steps: int, now_s: float) -> None:
        """A gang is broken up: its video waits again, with so many steps left.

        Raises:
            ValueError: it is not running.
        """
        del now_s
        task = self._roster.end(video_id).task
        self._waiting.add(replace(task, work=replace(task.work, num_steps=num_steps)))

    def next(self, now_s: float) -> list[Assignment]:
        """The videos that start now. Ask again whenever something has happened."""
        started: list[Assignment] = []
        while len(self._waiting) and self._roster.free.num_free():
            found = self._start_one(now_s)
            if found is None:
                break
            started.append(found)
        return started

    def _start_one(self, now_s: float) -> Assignment | None:
        """Start the first video that can be; one that waits for more GPUs holds those behind it."""
        held: VideoTask | None = None
        until_s = 0.0
        looked_at = 0
        blocked: set[Work] = set()
        end_s = self._end_s(now_s)
        for task in self._waiting.in_order():
            if held is not None:
                looked_at += 1
                if task.priority != held.priority or looked_at > _MAX_LOOKED_AT:
                    break
            if task.deadline_s is None and task.work in blocked:
                continue
            choice = self._gangs.choose(task, now_s, end_s, may_wait=held is None)
            if choice is None:
                blocked.add(task.work)
            elif choice.waits_until_s is not None:
                held, until_s = task, choice.waits_until_s
            elif held is None or choice.end_s <= until_s:
                return self._started(task, choice, now_s)
        return None

    def _started(self, task: VideoTask, choice: Choice, now_s: float) -> Assignment:
        sampling_s, decode_s = self._gangs.seconds(task.work, task.work.gangs.index(choice.gang))
        found = self._roster.start(task, choice.gang, now_s, sampling_s, decode_s)
        assert found is not None, f"video '{task.id}': no room for a gang of {choice.gang}"
        self._releases.expect(found)
        self._waiting.remove(task)
        self._waiting.charge(task.owner, choice.gang * sampling_s + decode_s)
        return found

    def _end_s(self, now_s: float) -> float:
        """The end that is aimed at."""
        waiting, num_gpus = self._waiting, self._roster.free.num_gpus()
        target = self._target
        if (
            target is None
            or now_s >= target.end_s
            or abs(waiting.gpu_s - target.waiting_gpu_s) > _REPLAN_SHARE * target.waiting_gpu_s
            or abs(num_gpus - target.num_gpus) > _REPLAN_SHARE * target.num_gpus
        ):
            running = self._roster.running.values()
            needed_s = target_s(
                waiting.counts,
                self._paces.in_use,
                num_gpus=num_gpus,
                busy_gpu_s=sum(each.busy_gpu_s(now_s) for each in running),
            )
            # Nothing is gained by being done before what runs already.
            last_s = max((each.assignment.end_s for each in running), default=now_s)
            target = _Target(max(now_s + needed_s, last_s), waiting.gpu_s, num_gpus)
            self._target = target
        return target.end_s
