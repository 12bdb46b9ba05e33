"""A job's warm actors and the room they have: started, replaced one by one, ended together.

A place is a bundle of the placement group. Whoever dies in it is replaced in it. When its node is
gone Ray moves the bundle to another node if there is room; if not, the place stays empty and its
gang renders on with fewer actors until there is.

Gangs on different places may use a crew from different threads; a place belongs to one of them.
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING

import ray

from actors.cluster import cluster_resources
from actors.failures import RAY_FAILURES, SegmentDiedError, in_short
from actors.handles import SegmentHandle, close_all, wait_for
from actors.nodes import living_nodes
from actors.placement import node_of_bundles, release, reserve, share_out
from actors.prompt_book import PromptBook
from actors.seat import Seat
from actors.watchdog import LearnedLimit
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray import ObjectRef
    from ray.util.placement_group import PlacementGroup

    from actors.placement import GangOptions
    from pipeline.engines.registry import EngineSource
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.crew")

# How long Ray may take to find another node for a lost bundle before the gang goes on without it.
MOVE_TIMEOUT_S = 10.0
_POLL_S = 0.2


class Crew:
    """Warm actors in a placement group.

    Attributes:
        load_limit: how long an actor may take to load its engine, by what the others took.
        prompts: what they have encoded.
        next_epoch: gives a number that no other attempt on these actors has.
    """

    def __init__(
        self, engine: EngineSource, options: GangOptions, store: StoreFactory, job: str
    ) -> None:
        """Reserve the room and start the actors; they load their engines.

        Args:
            engine: what they load.
            options: how many, and what each of them gets.
            store: opens the output on any node.
            job: whose they are.

        Raises:
            ClusterError: no room on the cluster, or an actor could not start.
            WeightsError: the engine's weights are missing or damaged.
        """
        self._engine, self._options, self._store, self._job = engine, options, store, job
        self._share = share_out(options, cluster_resources())
        self._group: PlacementGroup | None = reserve(self._share, options.placement_timeout_s)
        self._where: dict[int, tuple[str, int]] = {}
        self.prompts, self.next_epoch = PromptBook(), itertools.count(1).__next__
        self.load_limit = LearnedLimit(options.load_timeout_s, options.min_step_timeout_s)
        self._members = {place: self._start(place) for place in range(self._share.num_actors)}
        try:
            self._locate(self._members.values())
        except SegmentDiedError as error:
            self.close()
            raise ClusterError(f"no actor could load the engine: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def places(self) -> range:
        """All places, with and without an actor."""
        return range(self._share.num_actors)

    def handles(self, places: Iterable[int] | None = None) -> list[SegmentHandle]:
        """The actors in these places, in this order; all: in the order of their places."""
        wanted = self.places if places is None else places
        return [self._members[place] for place in wanted if place in self._members]

    def replace(self, handle: SegmentHandle) -> SegmentHandle:
        """End an actor, whatever it is doing, and start another in its place; does not wait."""
        handle.kill()
        fresh = self._start(handle.place)
        self._members[handle.place] = fresh
        return fresh

    def located(self, handle: SegmentHandle, node: str, pid: int) -> None:
        """An actor has said where it runs."""
        self._where[handle.place] = node, pid
        logger.info("%s: node %s, process %d", handle.name, node[:8], pid)

    def node_of(self, handle: SegmentHandle) -> str | None:
        """The node of an actor's place, if it is known."""
        node, _ = self._where.get(handle.place, (None, 0))
        return node

    def pid_of(self, place: int) -> int | None:
        """The process that was last known in a place."""
        _, pid = self._where.get(place, ("", None))
        return pid

    def heal(self, limit_s: float, places: Iterable[int] | None = None) -> None:
        """Find out who is left, replace the others where there is room, go on without the rest.

        Args:
            limit_s: how long a living actor may take to answer.
            places: where to look; ``None``: everywhere.
        """
        places = list(self.places if places is None else places)
        answers = {handle.place: handle.identity() for handle in self.handles(places)}
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=limit_s)
        for place, answer in answers.items():
            if not self._has_answered(place, answer):
                self._members.pop(place).kill()
                self._where.pop(place, None)
        self.refill(MOVE_TIMEOUT_S, places)

    def refill(self, wait_s: float = 0.0, places: Iterable[int] | None = None) -> None:
        """Start actors in empty places that have room, which Ray may take ``wait_s`` to find."""
        wanted = self.places if places is None else places
        empty = [place for place in wanted if place not in self._members]
        end_s = time.monotonic() + wait_s
        while (placed := self._placed(empty)) != empty:
            if time.monotonic() >= end_s:
                logger.warning("no room for %d actors", len(empty) - len(placed))
                break
            time.sleep(_POLL_S)
        self._members |= self._located({place: self._start(place) for place in placed})

    def nodes(self) -> dict[int, str]:
        """The living node of every place that is on one."""
        if self._group is None:
            return {}
        living = living_nodes()
        return {
            place: node for place, node in node_of_bundles(self._group).items() if node in living
        }

    def close(self) -> None:
        """End the actors and give the room back; nothing if that is done already."""
        group, self._group = self._group, None
        if group is not None:
            close_all(self.handles())
            self._members.clear()
            release(group)

    def _start(self, place: int) -> SegmentHandle:
        if (group := self._group) is None:
            raise ClusterError("the actors were sent home")
        return SegmentHandle.start(
            Seat(self._job, place),
            group,
            num_cpus=self._share.num_cpus,
            num_gpus=self._share.num_gpus,
            threads=self._options.threads_per_actor,
            engine=self._engine,
            store=self._store,
        )

    def _locate(self, handles: Iterable[SegmentHandle]) -> None:
        """Wait until these have loaded their engines."""
        handles, started_s = list(handles), time.monotonic()
        places = wait_for(
            [handle.identity() for handle in handles],
            timeout_s=self._options.load_timeout_s,
            doing="loading the engine",
        )
        self.load_limit.learn(time.monotonic() - started_s)
        for handle, (node, pid) in zip(handles, places, strict=True):
            self.located(handle, node, pid)

    def _located(self, fresh: dict[int, SegmentHandle]) -> dict[int, SegmentHandle]:
        """Those of new actors that have loaded their engines; the others are ended."""
        alive = {}
        for place, handle in fresh.items():
            try:
                self._locate([handle])
            except SegmentDiedError as error:
                logger.warning("%s: not replaced: %s", handle.name, error)
                handle.kill()
            else:
                alive[place] = handle
        return alive

    def _has_answered(self, place: int, answer: ObjectRef[tuple[str, int]]) -> bool:
        try:
            node, pid = ray.get(answer, timeout=0)
        except RAY_FAILURES as error:
            logger.warning("%s is gone: %s", self._members[place].name, in_short(error))
            return False
        self.located(self._members[place], node, pid)
        return node in living_nodes()

    def _placed(self, places: list[int]) -> list[int]:
        """Those of the places whose bundle is on a node that lives."""
        nodes = self.nodes() if places else {}
        return [place for place in places if place in nodes]
