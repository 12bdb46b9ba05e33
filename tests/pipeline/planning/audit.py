"""A scheduler under audit: the books are kept a second time, and starts are held against them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.planning.free_gpus import Gpu, Node
    from pipeline.planning.roster import Assignment
    from pipeline.planning.scheduler import Scheduler
    from pipeline.planning.task import VideoTask, Work


class Audit:
    """Passes everything on to a scheduler; implements ``Scheduler``."""

    def __init__(self, scheduler: Scheduler, *, by_priority: bool = True) -> None:
        self.scheduler, self.by_priority = scheduler, by_priority
        self.nodes: dict[str, Node] = {}
        self.waiting: dict[str, VideoTask] = {}
        self.running: dict[str, Assignment] = {}
        self.held: dict[Gpu, str] = {}
        self.num_finished: dict[str, int] = {}

    @property
    def num_waiting(self) -> int:
        assert self.scheduler.num_waiting == len(self.waiting)
        return self.scheduler.num_waiting

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        known = list(tasks)
        self.waiting |= {task.id: task for task in known}
        self.scheduler.submit(known)

    def node_joined(self, node: Node) -> None:
        self.nodes[node.name] = node
        self.scheduler.node_joined(node)

    def node_left(self, name: str) -> list[str]:
        del self.nodes[name]
        lost = {video_id for gpu, video_id in self.held.items() if gpu.node == name}
        self.held = {gpu: video_id for gpu, video_id in self.held.items() if gpu.node != name}
        found = self.scheduler.node_left(name)
        assert set(found) == lost
        assert len(found) == len(lost)
        return found

    def next(self, now_s: float) -> list[Assignment]:
        started = self.scheduler.next(now_s)
        for assignment in started:
            self._starts(assignment, now_s)
        return started

    def sampled(self, video_id: str) -> None:
        for gpu in self.running[video_id].gpus[1:]:
            del self.held[gpu]
        self.scheduler.sampled(video_id)

    def finished(self, video_id: str, now_s: float) -> None:
        self._ends(video_id)
        self.num_finished[video_id] = self.num_finished.get(video_id, 0) + 1
        self.scheduler.finished(video_id, now_s)

    def lost(self, video_id: str, num_steps: int, now_s: float) -> None:
        self.waiting[video_id] = self._ends(video_id).task
        self.scheduler.lost(video_id, num_steps, now_s)

    def has_gang(self, work: Work) -> bool:
        """Whether the fleet, were it all free, could render it."""
        return any(
            sum(n.num_gpus for n in self.nodes.values() if n.memory_bytes >= work.bytes_on(gang))
            >= gang
            for gang in work.gangs
        )

    def _starts(self, assignment: Assignment, now_s: float) -> None:
        task, gpus = assignment.task, assignment.gpus
        del self.waiting[task.id]
        assert assignment.start_s == now_s
        assert len(gpus) in task.work.gangs
        assert len(gpus) <= task.work.max_gang
        for gpu in gpus:
            assert gpu not in self.held, f"{gpu} renders {self.held[gpu]} already"
            node = self.nodes[gpu.node]
            assert gpu.number < node.num_gpus
            assert node.memory_bytes >= task.work.bytes_on(len(gpus))
            self.held[gpu] = task.id
        for other in self.waiting.values() if self.by_priority else ():
            assert other.priority <= task.priority or not self.has_gang(other.work)
        self.running[task.id] = assignment

    def _ends(self, video_id: str) -> Assignment:
        self.held = {gpu: holder for gpu, holder in self.held.items() if holder != video_id}
        return self.running.pop(video_id)
