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
from actors.handles import wait_for
from actors.loan import borrow
from actors.nodes import living_nodes
from actors.placement import node_of_bundles, share_out
from actors.premises import LentPremises, OwnPremises
from actors.prompt_book import PromptBook
from actors.terms import Terms
from actors.watchdog import LearnedLimit
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ray import ObjectRef

    from actors.handles import SegmentHandle
    from actors.placement import GangOptions
    from actors.premises import Premises
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
        share = share_out(options, cluster_resources())
        self._terms = Terms(engine=engine, share=share, threads=options.threads_per_actor)
        self._options, self._is_open = options, True
        self._premises = _premises(self._terms, options, store, job)
        self._where: dict[int, tuple[str, int]] = {}
        first_epoch = self._premises.first_epoch
        self.prompts, self.next_epoch = PromptBook(), itertools.count(first_epoch).__next__
        self.load_limit = LearnedLimit(options.load_timeout_s, options.min_step_timeout_s)
        self._members: dict[int, SegmentHandle] = {}
        try:
            self._assemble()
        except SegmentDiedError as error:
            self.close(keeps=False)
            raise ClusterError(f"no actor could load the engine: {error}") from error
        except BaseException:
            self.close(keeps=False)
            raise

    def _assemble(self) -> None:
        """Whoever is there already, and new ones in the other places.

        Raises:
            SegmentDiedError: a new one could not load the engine.
        """
        self._members |= self._premises.found()
        self._drop_silent(self._options.min_step_timeout_s, self.places)
        fresh = {place: self._start(place) for place in self.places if place not in self._members}
        self._members |= fresh
        self._locate(fresh.values())

    @property
    def places(self) -> range:
        """All places, with and without an actor."""
        return range(self._terms.share.num_actors)

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
        self._drop_silent(limit_s, places)
        self.refill(MOVE_TIMEOUT_S, places)

    def _drop_silent(self, limit_s: float, places: Iterable[int]) -> None:
        """End those who do not answer in time, or whose node is gone."""
        answers = {handle.place: handle.identity() for handle in self.handles(places)}
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=limit_s)
        for place, answer in answers.items():
            if not self._has_answered(place, answer):
                self._members.pop(place).kill()
                self._where.pop(place, None)

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
        if not self._is_open:
            return {}
        living, bundles = living_nodes(), node_of_bundles(self._premises.group)
        return {place: node for place, node in bundles.items() if node in living}

    def close(self, *, keeps: bool = True) -> None:
        """Be done with the actors and their room; nothing if that is done already.

        Args:
            keeps: whether ``gang.keep_warm_s`` counts; if not, the actors end whatever they do.
        """
        if self._is_open:
            self._is_open = False
            self._premises.leave(self.handles(), keeps=keeps)
            self._members.clear()

    def _start(self, place: int) -> SegmentHandle:
        if not self._is_open:
            raise ClusterError("the actors were sent home")
        return self._premises.start(place)

    def _locate(self, handles: Iterable[SegmentHandle]) -> None:
        """Wait until these have loaded their engines."""
        handles, started_s = list(handles), time.monotonic()
        if not handles:
            return
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


def _premises(terms: Terms, options: GangOptions, store: StoreFactory, job: str) -> Premises:
    """The job's own, unless they are to be kept.

    Raises:
        ClusterError: no room on the cluster.
        WeightsError: the engine's weights are missing or damaged.
    """
    timeout_s = options.placement_timeout_s
    if options.keep_warm_s == 0:
        return OwnPremises.taken(terms, store, job, timeout_s=timeout_s)
    loan = borrow(terms, job, keep_warm_s=options.keep_warm_s, timeout_s=timeout_s)
    return LentPremises(loan, store, job)
