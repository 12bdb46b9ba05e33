"""A job on a fleet with a virtual clock: the planner's own turns and gangs, without an actor.

Rows come to the planner as ``shift`` reads them, as the tasks that ``planned_work`` makes of them.
A delivery is part of a video's time on its actors, since it goes on beside the next video. A gang
counts it shared out; what one actor of it still has to do alone comes on top, and tells at the end,
when there is no next video.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from jobs.estimate import VideoWork, work_of
from pipeline.errors import ConfigError
from pipeline.planning.bound import lower_bound_s
from pipeline.planning.free_gpus import Node
from pipeline.planning.planner import Planner
from pipeline.planning.read_ahead import ReadAhead
from pipeline.planning.simulator import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobs.planned_work import PlannedWork
    from pipeline.plan import VideoPlan
    from pipeline.planning.roster import Assignment
    from pipeline.planning.task import VideoTask, Work

# Nodes change no time here; small ones are quick to look through.
_ACTORS_PER_NODE: Final = 8


@dataclass(slots=True)
class SimulatedJob:
    """What would become of a job's videos if nothing failed.

    Attributes:
        works: how many videos take what, each counted on the gang that it would get.
        makespan_s: from the first step to the end of the last upload.
        bound_s: what no plan beats (``lower_bound_s``).
        longest_id: the video that takes longest if it has all actors that help.
        longest_s: how long.
        num_late: videos that are delivered after their deadlines.
    """

    works: Counter[VideoWork] = field(default_factory=Counter)
    makespan_s: float = 0.0
    bound_s: float = 0.0
    longest_id: str = ""
    longest_s: float = 0.0
    num_late: int = 0


def simulate_job(plans: Iterable[VideoPlan], work: PlannedWork, num_actors: int) -> SimulatedJob:
    """Let the planner see a job's videos through.

    Args:
        plans: in the order in which a driver reads them; asked for one by one.
        work: makes tasks of them; its clock stands at 0.
        num_actors: at least 1.

    Raises:
        ConfigError: a video is to have more actors than there are.
    """
    run = _Run(work, num_actors)
    tasks = map(run.task, plans)
    simulate(ReadAhead(Planner()), _nodes(num_actors), tasks, on_end=run.ended)
    run.job.bound_s = lower_bound_s(run.num_alike.elements(), num_actors)
    return run.job


def _nodes(num_actors: int) -> Iterator[Node]:
    for first in range(0, num_actors, _ACTORS_PER_NODE):
        yield Node(f"node-{first}", min(_ACTORS_PER_NODE, num_actors - first))


@dataclass(slots=True)
class _Run:
    """A simulation under way; holds the plans of the videos that wait or run."""

    work: PlannedWork
    num_actors: int
    job: SimulatedJob = field(default_factory=SimulatedJob)
    num_alike: Counter[Work] = field(default_factory=Counter)
    plans: dict[str, VideoPlan] = field(default_factory=dict)
    counted: dict[object, VideoWork] = field(default_factory=dict)

    def task(self, plan: VideoPlan) -> VideoTask:
        """A video is read."""
        task = self.work.task(plan)
        if (gang := task.work.gangs[0]) > self.num_actors:
            raise ConfigError(
                f"gang.actors_per_video = {self.work.gang}: video '{task.id}' is to have {gang} "
                f"actors, and there is room for {self.num_actors}; expected more GPUs or fewer "
                "actors"
            )
        self.plans[task.id] = replace(plan, image=None)
        if task.work not in self.num_alike:
            self._compare(task, self.work.tail_s(plan))
        self.num_alike[task.work] += 1
        return task

    def ended(self, assignment: Assignment, end_s: float) -> None:
        """A video has left its gang; its delivery may go on."""
        task, gang = assignment.task, len(assignment.gpus)
        plan = self.plans.pop(task.id)
        end_s += _delivery_s(task.work, gang, self.work.tail_s(plan))
        self.job.makespan_s = max(self.job.makespan_s, end_s)
        self.job.works[self._counted(plan, gang)] += 1
        self.job.num_late += task.deadline_s is not None and end_s > task.deadline_s

    def _compare(self, task: VideoTask, tail_s: float) -> None:
        """Whether this is the video that takes longest by itself."""
        work = task.work
        alone_s = min(
            sampling_s + _delivery_s(work, gang, tail_s)
            for gang, sampling_s in zip(work.gangs, work.sampling_s, strict=True)
            if gang <= self.num_actors
        )
        if alone_s > self.job.longest_s:
            self.job.longest_id, self.job.longest_s = task.id, alone_s

    def _counted(self, plan: VideoPlan, gang: int) -> VideoWork:
        """Videos of one length and size take the same: they are counted once for each gang."""
        request = plan.request
        kind = (
            *(request.num_frames, request.fps, request.width, request.height),
            *(request.num_inference_steps, plan.is_guided, gang),
        )
        if kind not in self.counted:
            self.counted[kind] = work_of(plan, gang)
        return self.counted[kind]


def _delivery_s(work: Work, gang: int, tail_s: float) -> float:
    """What is left of a delivery when a gang has worked off its slowest actor's share of it."""
    share = -(-work.num_windows // gang) / work.num_windows
    return (1.0 - share) * tail_s
