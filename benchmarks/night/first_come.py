"""The usual way: videos in the manifest's order, each on a gang of one fixed size.

It is given what the planner is given: GPUs side by side, freed when their video decodes, and no
more of them than a video can use. The first in the queue waits until its gang is free.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.planning.roster import Assignment, Roster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.planning.free_gpus import Node
    from pipeline.planning.task import VideoTask, Work


class FirstCome:
    """First come, first served; implements ``pipeline.planning.scheduler.Scheduler``."""

    def __init__(self, gang: int) -> None:
        self._gang = gang
        self._roster = Roster()
        self._queue: deque[VideoTask] = deque()

    @property
    def num_waiting(self) -> int:
        """Videos that have not started, or have lost their gang."""
        return len(self._queue)

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        """More videos, behind those that are there."""
        self._queue.extend(tasks)

    def node_joined(self, node: Node) -> None:
        """A node is there."""
        self._roster.join(node)

    def node_left(self, name: str) -> list[str]:
        """A node is gone; the videos that had a part in it."""
        return self._roster.leave(name)

    def next(self, now_s: float) -> list[Assignment]:
        """The videos that start now."""
        started: list[Assignment] = []
        while self._queue:
            task = self._queue[0]
            index = self._index(task.work)
            found = self._roster.start(
                task, task.work.gangs[index], now_s, task.work.sampling_s[index], task.work.decode_s
            )
            if found is None:
                break
            started.append(found)
            self._queue.popleft()
        return started

    def sampled(self, video_id: str) -> None:
        """All but the first GPU of its gang are free."""
        self._roster.sampled(video_id)

    def finished(self, video_id: str, now_s: float) -> None:
        """Its GPUs are free."""
        del now_s
        self._roster.end(video_id)

    def lost(self, video_id: str, num_steps: int, now_s: float) -> None:
        """It goes on as soon as there is room."""
        del now_s
        task = self._roster.end(video_id).task
        self._queue.appendleft(replace(task, work=replace(task.work, num_steps=num_steps)))

    def _index(self, work: Work) -> int:
        """The largest gang worth having that is no larger than the fixed one."""
        return max(index for index, gang in enumerate(work.gangs) if gang <= self._gang)
