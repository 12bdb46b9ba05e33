"""A fleet with a virtual clock: what a scheduler would make of a night, in seconds of real time.

It drives a ``Scheduler`` as the real fleet does and knows what the scheduler doesn't: how long
things really take, and what fails. Processes that die are replaced while their gang waits; a node
that is lost breaks up its gangs, and comes back later. Chance is seeded: a night can be repeated.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.planning.free_gpus import Gpu, Node
    from pipeline.planning.roster import Assignment
    from pipeline.planning.scheduler import Scheduler
    from pipeline.planning.task import VideoTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong. All of it nothing, unless said otherwise.

    Attributes:
        process_deaths_per_gpu_hour: each costs its gang ``replay_s``.
        replay_s: until a replacement has loaded the engine and done its steps again.
        node_losses_per_node_hour: each breaks up the gangs that the node has a part in.
        node_away_s: until the node is back.
        steps_per_cut: a gang that is broken up goes on from the last multiple of so many steps.
        straggler_share: of the GPUs, that are slow all night; a gang is as slow as its slowest.
        straggler_factor: how much longer they take.
        seed: of all chance.
    """

    process_deaths_per_gpu_hour: float = 0.0
    replay_s: float = 0.0
    node_losses_per_node_hour: float = 0.0
    node_away_s: float = 0.0
    steps_per_cut: int = 1
    straggler_share: float = 0.0
    straggler_factor: float = 1.0
    seed: int = 0


@dataclass(slots=True)
class Night:
    """What became of it.

    Attributes:
        makespan_s: until the last video was delivered.
        ended_s: when each video was, in the order in which they were; empty if somebody is told.
        held_gpu_s: GPU-seconds that videos held GPUs for.
        num_process_deaths, num_node_losses, num_broken_gangs: how often.
        log: every assignment, in order, if asked for.
    """

    makespan_s: float = 0.0
    ended_s: dict[str, float] = field(default_factory=dict)
    held_gpu_s: float = 0.0
    num_process_deaths: int = 0
    num_node_losses: int = 0
    num_broken_gangs: int = 0
    log: list[Assignment] = field(default_factory=list)


def exactly(task: VideoTask) -> float:
    """Every video takes what was estimated."""
    del task
    return 1.0


def simulate(
    scheduler: Scheduler,
    nodes: Iterable[Node],
    tasks: Iterable[VideoTask],
    *,
    faults: Faults | None = None,
    actual: Callable[[VideoTask], float] = exactly,
    keeps_log: bool = False,
    on_end: Callable[[Assignment, float], None] | None = None,
) -> Night:
    """Let a scheduler render a manifest on a fleet, both there from the start.

    Args:
        scheduler: a new one.
        nodes: the fleet.
        tasks: what is to be rendered.
        faults: what goes wrong; ``None``: nothing.
        actual: by what factor a video takes longer than estimated.
        keeps_log: whether to keep every assignment.
        on_end: told of each video that is delivered, and when: a night of any length then needs
            no memory.

    Raises:
        ValueError: a video fits no gang of the fleet.
    """
    run = _Run(scheduler, faults or Faults(), actual, on_end, keeps_log=keeps_log)
    for node in nodes:
        run.join(node)
    scheduler.submit(tasks)
    return run.to_the_end()


Happening = Literal["sampled", "finished", "node lost", "node back"]


class _Run:
    """One night."""

    def __init__(
        self,
        scheduler: Scheduler,
        faults: Faults,
        actual: Callable[[VideoTask], float],
        on_end: Callable[[Assignment, float], None] | None,
        *,
        keeps_log: bool,
    ) -> None:
        self.scheduler, self.faults, self.actual = scheduler, faults, actual
        self.on_end, self.keeps_log = on_end, keeps_log
        self.rng = random.Random(faults.seed)  # noqa: S311 - chance, not secrets
        self.night = Night()
        self.now_s = 0.0
        self.running: dict[str, _Real] = {}
        self.slow: dict[Gpu, bool] = {}
        self.events: list[tuple[float, int, Happening, _Real | Node]] = []
        self.num_events = 0

    def join(self, node: Node) -> None:
        self.scheduler.node_joined(node)
        rate = self.faults.node_losses_per_node_hour
        if rate:
            self._at(self.now_s + 3600 * self.rng.expovariate(rate), "node lost", node)

    def to_the_end(self) -> Night:
        self._start()
        while self.running or self.scheduler.num_waiting:
            if not self.events:
                raise ValueError(
                    f"{self.scheduler.num_waiting} videos wait for GPUs that the fleet has not: "
                    "expected nodes with enough memory for each on its widest gang"
                )
            self.now_s = self.events[0][0]
            while self.events and self.events[0][0] <= self.now_s:
                _, _, happening, subject = heapq.heappop(self.events)
                self._happens(happening, subject)
            self._start()
        return self.night

    def _happens(self, happening: Happening, subject: _Real | Node) -> None:
        if isinstance(subject, _Real):
            if self.running.get(subject.id) is subject:
                self._sampled(subject) if happening == "sampled" else self._finished(subject)
        elif happening == "node lost":
            self._lose(subject)
        else:
            self.join(subject)

    def _start(self) -> None:
        for assignment in self.scheduler.next(self.now_s):
            real = self._real(assignment)
            self.running[real.id] = real
            if len(assignment.gpus) > 1:
                self._at(real.sampled_s, "sampled", real)
            self._at(real.end_s, "finished", real)
            if self.keeps_log:
                self.night.log.append(assignment)

    def _real(self, assignment: Assignment) -> _Real:
        """How long it really takes."""
        factor = self.actual(assignment.task)
        work, gang = assignment.task.work, len(assignment.gpus)
        slowness = [self._slowness(gpu) for gpu in assignment.gpus]
        sampling_s = factor * max(slowness) * work.sampling_s[work.gangs.index(gang)]
        deaths = self._num_deaths(gang * sampling_s / 3600)
        self.night.num_process_deaths += deaths
        sampled_s = self.now_s + sampling_s + deaths * self.faults.replay_s
        return _Real(assignment, sampled_s, sampled_s + factor * slowness[0] * work.decode_s)

    def _sampled(self, real: _Real) -> None:
        self.scheduler.sampled(real.id)

    def _finished(self, real: _Real) -> None:
        self._ended(real)
        self.night.makespan_s = self.now_s
        if self.on_end is None:
            self.night.ended_s[real.id] = self.now_s
        else:
            self.on_end(real.assignment, self.now_s)
        self.scheduler.finished(real.id, self.now_s)

    def _lose(self, node: Node) -> None:
        self.night.num_node_losses += 1
        for video_id in self.scheduler.node_left(node.name):
            real = self.running[video_id]
            self._ended(real)
            self.night.num_broken_gangs += 1
            self.scheduler.lost(video_id, self._steps_left(real), self.now_s)
        self._at(self.now_s + self.faults.node_away_s, "node back", node)

    def _steps_left(self, real: _Real) -> int:
        num_steps = real.assignment.task.work.num_steps
        sampling_s = real.sampled_s - real.assignment.start_s
        share = (self.now_s - real.assignment.start_s) / sampling_s if sampling_s else 1.0
        if share >= 1:
            return 0  # finished latents are kept; they are decoded again
        steps = math.floor(share * num_steps)
        return num_steps - steps // self.faults.steps_per_cut * self.faults.steps_per_cut

    def _ended(self, real: _Real) -> None:
        del self.running[real.id]
        start_s, helpers = real.assignment.start_s, len(real.assignment.gpus) - 1
        self.night.held_gpu_s += self.now_s - start_s
        self.night.held_gpu_s += helpers * (min(self.now_s, real.sampled_s) - start_s)

    def _slowness(self, gpu: Gpu) -> float:
        faults = self.faults
        if not faults.straggler_share:
            return 1.0
        if gpu not in self.slow:
            chance = _chance(f"{faults.seed}/{gpu.node}/{gpu.number}")
            self.slow[gpu] = chance < faults.straggler_share
        return faults.straggler_factor if self.slow[gpu] else 1.0

    def _num_deaths(self, gpu_hours: float) -> int:
        """Poisson: how many arrivals of an exponential clock lie within the time."""
        rate = self.faults.process_deaths_per_gpu_hour
        count = 0
        if rate:
            left = gpu_hours - self.rng.expovariate(rate)
            while left > 0:
                count += 1
                left -= self.rng.expovariate(rate)
        return count

    def _at(self, time_s: float, happening: Happening, subject: _Real | Node) -> None:
        self.num_events += 1
        heapq.heappush(self.events, (time_s, self.num_events, happening, subject))


def _chance(key: str) -> float:
    """A number in [0, 1) that is always the same for a key."""
    return random.Random(key).random()  # noqa: S311 - chance, not secrets


@dataclass(frozen=True, slots=True, eq=False)
class _Real:
    """An assignment as it really goes."""

    assignment: Assignment
    sampled_s: float
    end_s: float

    @property
    def id(self) -> str:
        return self.assignment.task.id
