"""Who renders what now: the part of a schedule that any rule for making one needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.planning.free_gpus import FreeGpus, Gpu, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.planning.task import VideoTask


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """A video that is to start now, and where.

    Attributes:
        task: the video.
        gpus: the gang, neighbours side by side; the first decodes.
        start_s: when.
        sampled_s, end_s: when sampling and delivery should end.
    """

    task: VideoTask
    gpus: tuple[Gpu, ...]
    start_s: float
    sampled_s: float
    end_s: float


@dataclass(slots=True)
class Running:
    """An assignment that was given out, and what it still holds."""

    assignment: Assignment
    gpus: Sequence[Gpu]

    def busy_gpu_s(self, now_s: float) -> float:
        """GPU-seconds that it should still take."""
        assigned = self.assignment
        helpers = len(self.gpus) - 1
        return max(0.0, assigned.end_s - now_s) + helpers * max(0.0, assigned.sampled_s - now_s)


class Roster:
    """Running videos and free GPUs; no GPU is ever in both, nor twice in one."""

    def __init__(self) -> None:
        self.free = FreeGpus()
        self.running: dict[str, Running] = {}
        self._on: dict[str, dict[str, None]] = {}

    def join(self, node: Node) -> None:
        """A node is there.

        Raises:
            ValueError: it was there already.
        """
        self.free.join(node)

    def leave(self, name: str) -> list[str]:
        """A node is gone; the ids of the videos that it had a part in, which have lost it.

        Raises:
            ValueError: it was not there.
        """
        self.free.leave(name)
        losers = list(self._on.pop(name, {}))
        for video_id in losers:
            running = self.running[video_id]
            running.gpus = [gpu for gpu in running.gpus if gpu.node != name]
        return losers

    def start(
        self, task: VideoTask, gang: int, now_s: float, sampling_s: float, decode_s: float
    ) -> Assignment | None:
        """Give a video its GPUs; ``None`` if there are too few that it fits."""
        assert task.id not in self.running, f"video '{task.id}' is running already"
        gpus = self.free.take(gang, task.work.bytes_on(gang))
        if gpus is None:
            return None
        sampled_s = now_s + sampling_s
        found = Assignment(task, gpus, now_s, sampled_s, sampled_s + decode_s)
        self.running[task.id] = Running(found, gpus)
        for gpu in gpus:
            self._on.setdefault(gpu.node, {})[task.id] = None
        return found

    def sampled(self, video_id: str) -> None:
        """All but the first GPU of a gang are free again."""
        running = self._running(video_id)
        self._let_go(video_id, running.gpus)
        self.free.give(running.gpus[1:])
        running.gpus = running.gpus[:1]
        for gpu in running.gpus:
            self._on.setdefault(gpu.node, {})[video_id] = None

    def end(self, video_id: str) -> Assignment:
        """A video holds nothing any more: it is done, or lost."""
        running = self._running(video_id)
        del self.running[video_id]
        self._let_go(video_id, running.gpus)
        self.free.give(running.gpus)
        return running.assignment

    def _let_go(self, video_id: str, gpus: Sequence[Gpu]) -> None:
        for gpu in gpus:
            self._on[gpu.node].pop(video_id, None)

    def _running(self, video_id: str) -> Running:
        """What runs under that id.

        Raises:
            ValueError: nothing does.
        """
        if video_id not in self.running:
            raise ValueError(f"video '{video_id}' is not running")
        return self.running[video_id]
