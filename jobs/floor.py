"""The studio's floor: which video has which actors, as the planner says.

A video's *turn* gives it places for sampling. When it is sampled it hands them on and keeps, for
its delivery, the second thread of one actor, on which another video is sampled meanwhile. A place
has one of each at most: who is sampled while the delivery before is still under way waits, with its
actors, so that latents do not pile up.

Threads wait here for their turns; everything is done under one lock.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.errors import ClusterError, PausedError
from pipeline.planning.free_gpus import Gpu, Node
from pipeline.planning.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pipeline.planning.task import VideoTask

# Whoever waits looks so often whether it still should.
_LOOK_S: Final = 0.5


@dataclass(eq=False, slots=True)
class Turn:
    """A video's time on the floor.

    Attributes:
        task: the video.
        places: whose actors it samples on, neighbours side by side; empty when they are handed on.
        deliverer: the place that delivers it, once it is sampled.
    """

    task: VideoTask
    places: tuple[int, ...]
    deliverer: int | None = None


@dataclass(eq=False, slots=True)
class _Places:
    """Which of the planner's GPUs is which place. A node that comes again has another name."""

    of_gpu: dict[Gpu, int] = field(default_factory=dict)
    node_of: dict[int, str] = field(default_factory=dict)
    num_joined: int = 0


class Floor:
    """Gives turns."""

    def __init__(
        self,
        gather: Callable[[], Mapping[int, str]],
        tell: Callable[[VideoTask], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked of the cluster yet.

        Args:
            gather: brings actors together, anew if there were some; gives the node of each place.
            tell: called, by any thread, when a video has its turn.
            clock: seconds.
        """
        self._gather, self._tell, self._clock = gather, tell, clock
        self._planner, self._places = Planner(), _Places()
        self._changed, self._one_alone = threading.Condition(), threading.Lock()
        self._waiting: dict[str, VideoTask] = {}
        self._turns: dict[str, Turn] = {}
        self._is_shut = self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nobody gets a turn any more."""
        return self._is_closed

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        """More videos wait for their turns.

        Raises:
            ClusterError: there are no actors to be had.
        """
        with self._changed:
            for task in tasks:
                self._waiting[task.id] = task
                self._planner.submit([task])
            self._give_turns()

    def upcoming(self, count: int) -> list[str]:
        """The videos that may have the next turns."""
        with self._changed:
            return self._planner.upcoming(count)

    def open(self) -> None:
        """Have actors gathered if there are none, for videos that are about to be submitted.

        Raises:
            ClusterError: they can't be.
            WeightsError: the engine's weights are missing or damaged.
        """
        with self._changed:
            if not self._is_shut and not self._is_closed:
                self._gather_if_empty()

    @property
    def num_places(self) -> int:
        """Places that have an actor, or had one when that was last looked at."""
        return len(self._places.node_of)

    def turn(self, task: VideoTask, wants_pause: Callable[[], bool]) -> Turn:
        """Wait for a video's turn; it waits in line from now on if it did not yet.

        Raises:
            PausedError: all are to pause.
            ClusterError: nobody gets a turn any more.
        """
        with self._changed:
            if task.id not in self._waiting and task.id not in self._turns:
                self._waiting[task.id] = task
                self._planner.submit([task])
            self._give_turns()
            while task.id not in self._turns:
                self._look(wants_pause, f"video '{task.id}': paused before it began")
            return self._turns[task.id]

    def hand_on(self, turn: Turn, wants_pause: Callable[[], bool]) -> int:
        """A video is sampled: others may have its actors; the place of the one that delivers it.

        Raises:
            PausedError: all are to pause.
            ClusterError: nobody gets a turn any more.
        """
        with self._changed:
            while (free := self._first_without_delivery(turn.places)) is None:
                self._look(wants_pause, f"video '{turn.task.id}': paused before its delivery")
            turn.deliverer = free
            turn.places = ()
            self._planner.finished(turn.task.id, self._clock())
            self._give_turns()
            return free

    def clear(self, turn: Turn, wants_pause: Callable[[], bool]) -> None:
        """Wait until nobody delivers on a turn's actors.

        Raises:
            PausedError: all are to pause.
            ClusterError: nobody gets a turn any more.
        """
        with self._changed:
            while any(place in self._delivering() for place in turn.places):
                self._look(wants_pause, f"video '{turn.task.id}': paused before it began")

    def leave(self, task: VideoTask, *, is_done: bool = False) -> None:
        """A video's turn is over, or it needs none any more; nothing if that was said already.

        Args:
            task: the video.
            is_done: whether what it took may correct the estimates.
        """
        with self._changed:
            turn = self._turns.pop(task.id, None)
            if turn is None and self._waiting.pop(task.id, None) is None:
                return
            if turn is None or turn.places:
                if is_done:
                    self._planner.finished(task.id, self._clock())
                else:
                    self._planner.withdraw(task.id)
            if not self._is_closed:
                self._give_turns()
            self._changed.notify_all()

    @contextmanager
    def alone(self, task: VideoTask, wants_pause: Callable[[], bool]) -> Iterator[None]:
        """Have the floor for oneself, without actors: they may be sent home and others gathered.

        Raises:
            PausedError: all are to pause.
            ClusterError: nobody gets a turn any more.
        """
        self.leave(task)
        with self._one_alone:
            try:
                with self._changed:
                    self._is_shut = True
                    while self._turns:
                        self._look(wants_pause, f"video '{task.id}': paused before it began")
                yield
            finally:
                with self._changed:
                    self._is_shut = False
                    self._lose(set(self._places.node_of.values()))
                    if not self._is_closed:
                        self._give_turns()

    def look_around(self, nodes: Mapping[int, str]) -> None:
        """Learn where the places are now: nodes go, and places move to others."""
        with self._changed:
            here = set(nodes.values())
            self._lose({node for node in self._places.node_of.values() if node not in here})
            in_use = {place for turn in self._turns.values() for place in turn.places}
            self._join(
                {
                    place: node
                    for place, node in nodes.items()
                    if place not in self._places.node_of and place not in in_use
                }
            )
            self._give_turns()

    def close(self) -> None:
        """Nobody gets a turn any more; who waits for one is told."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    # --- with the lock held -----------------------------------------------------------------------

    def _give_turns(self) -> None:
        """Give turns to those whose they are now, with actors gathered if there are none."""
        if self._is_shut or self._is_closed:
            return
        if self._waiting:
            self._gather_if_empty()
        for task in self._waiting.values():
            if 0 < self.num_places < task.work.gangs[0]:
                raise ClusterError(
                    f"no room for video '{task.id}': it is to have {task.work.gangs[0]} actors, "
                    f"and there are {self.num_places}"
                )
        for assigned in self._planner.next(self._clock()):
            task = assigned.task
            places = tuple(self._places.of_gpu[gpu] for gpu in assigned.gpus)
            del self._waiting[task.id]
            self._turns[task.id] = Turn(task, places)
            self._tell(task)
        self._changed.notify_all()

    def _gather_if_empty(self) -> None:
        if not self._places.node_of and not self._turns:
            self._join(self._gather())

    def _join(self, nodes: Mapping[int, str]) -> None:
        places = self._places
        on_node: defaultdict[str, list[int]] = defaultdict(list)
        for place, node in sorted(nodes.items()):
            on_node[node].append(place)
        for node, joined in on_node.items():
            places.num_joined += 1
            name = f"{node}#{places.num_joined}"
            for number, place in enumerate(joined):
                places.of_gpu[Gpu(name, number)] = place
                places.node_of[place] = node
            self._planner.node_joined(Node(name, len(joined)))

    def _lose(self, nodes: set[str]) -> None:
        """Nodes are gone, with their places; whoever is on one finds that out by itself."""
        places = self._places
        for name in {gpu.node for gpu in places.of_gpu if gpu.node.partition("#")[0] in nodes}:
            self._planner.node_left(name)
        places.of_gpu = {
            gpu: place
            for gpu, place in places.of_gpu.items()
            if gpu.node.partition("#")[0] not in nodes
        }
        places.node_of = {
            place: node for place, node in places.node_of.items() if node not in nodes
        }

    def _delivering(self) -> set[int]:
        return {turn.deliverer for turn in self._turns.values() if turn.deliverer is not None}

    def _first_without_delivery(self, places: Iterable[int]) -> int | None:
        busy = self._delivering()
        return next((place for place in places if place not in busy), None)

    def _look(self, wants_pause: Callable[[], bool], text: str) -> None:
        """Wait a moment for a change.

        Raises:
            PausedError: all are to pause.
            ClusterError: nobody gets a turn any more.
        """
        if self._is_closed:
            raise ClusterError("the job is being stopped")
        if wants_pause():
            raise PausedError(text)
        self._changed.wait(_LOOK_S)
