"""Looks after a take's actors and their nodes: who owes an answer for too long, what is gone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.failures import GangBrokenError
from actors.nodes import draining_nodes, living_nodes
from actors.snapshot_writer import FLUSH_S
from actors.watchdog import LearnedLimit, Watchdog

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from actors.placement import GangOptions
    from actors.track import Task, Track

# Nodes are asked for no more often than this; a lost one is noticed by Ray itself much later.
NODES_EVERY_S = 2.0


@dataclass(slots=True)
class Guard:
    """One take's stopwatches.

    Attributes:
        load_limit: how long an actor may take to load its engine; the crew has learned it.
        step_limit: how long a step may take.
        push_limit: how long a run of slots may take in the decoder.
    """

    options: GangOptions
    load_limit: LearnedLimit
    step_limit: LearnedLimit = field(init=False)
    push_limit: LearnedLimit = field(init=False)
    _watchdog: Watchdog = field(default_factory=Watchdog)
    _looked_s: float = 0.0
    _draining: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        floor_s = self.options.min_step_timeout_s
        self.step_limit = LearnedLimit(self.options.step_timeout_s, floor_s)
        self.push_limit = LearnedLimit(self.options.decode_timeout_s, floor_s)

    def hung(self, tracks: list[Track]) -> Iterator[tuple[Track, float]]:
        """The tracks whose actors should have answered by now, each with its limit in seconds."""
        owed: dict[int, Hashable] = {
            track.segment: _work(track)
            for track in tracks
            if track.owed and _has_inputs(track, tracks)
        }
        for segment, owed_s in self._watchdog.look(owed, time.monotonic()).items():
            track = tracks[segment]
            limit_s = self._limit_s(track, track.owed[0])
            if owed_s > limit_s:
                yield track, limit_s

    def look_at_nodes(self, nodes: set[str]) -> bool:
        """Whether one of these nodes was told that it will be gone, and has not been noticed yet.

        Raises:
            GangBrokenError: one of them is gone.
        """
        if time.monotonic() < self._looked_s + NODES_EVERY_S:
            return False
        self._looked_s = time.monotonic()
        gone = nodes - living_nodes()
        if gone:
            raise GangBrokenError(f"lost {len(gone)} of the {len(nodes)} nodes that render it")
        warned = (nodes & draining_nodes()) - self._draining
        self._draining |= warned
        return bool(warned)

    def _limit_s(self, track: Track, task: Task) -> float:
        match task.kind:
            case "load":
                return self.load_limit.limit_s
            case "flush":
                return FLUSH_S + self.options.min_step_timeout_s
            case "ping":
                return 2.0 * self.push_limit.limit_s
            case "step" if task.step > track.first_step and not task.saves:
                return self.step_limit.limit_s
        return self.options.step_timeout_s


def _work(track: Track) -> Hashable:
    """What is owed; a question that is asked again and again is new work each time."""
    task = track.owed[0]
    return track.epoch, task.kind, task.step, task.ref if task.kind == "flush" else None


def _has_inputs(track: Track, tracks: list[Track]) -> bool:
    """Whether the oldest call has all that it needs, so that the actor is who is waited for."""
    task = track.owed[0]
    if task.kind != "step" or task.step == track.first_step:
        return True
    neighbours = tracks[max(0, track.segment - 1) : track.segment + 2]
    return all(other.furthest >= task.step for other in neighbours if other is not track)
