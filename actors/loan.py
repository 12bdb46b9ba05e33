"""Borrowing a warm crew from a steward, or having a new steward gather one."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import ray
from ray import exceptions
from ray.util import list_named_actors

from actors.handles import CLOSE_TIMEOUT_S, wait_for
from actors.placement import no_room
from actors.steward import CONCURRENCY_GROUPS, PREFIX, Lent, Steward
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ray.util.placement_group import PlacementGroup

    from actors.handles import SegmentHandle
    from actors.terms import Terms
    from pipeline.stores import StoreFactory

# A borrower says so often that it lives, and is dead when it has not for so long.
BEAT_S: Final = 2.0
SILENT_S: Final = 30.0
# Room is waited for in slices; between them those who need theirs no more are asked to leave.
SLICE_S: Final = 1
ANSWER_TIMEOUT_S: Final = 10.0
START_TIMEOUT_S: Final = 60.0
# More attempts than one job makes on an actor.
EPOCHS_PER_LOAN: Final = 1 << 32


@dataclass(slots=True)
class Loan:
    """What a steward has lent to this process, which keeps saying that it lives.

    Attributes:
        group: the room.
        first_epoch: see ``actors.premises.Premises``.
        actors: who is there already, by place.
    """

    steward: Any
    borrower: str
    group: PlacementGroup
    first_epoch: int
    actors: dict[int, Any]
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._beat, name="steward-beat", daemon=True).start()

    def start(self, place: int, store: StoreFactory) -> Any:
        """Have an actor started in a place.

        Raises:
            SegmentDiedError: the steward is gone, and all actors with it.
        """
        ref = self.steward.start.options(name="start").remote(self.borrower, place, store)
        (actor,) = wait_for([ref], timeout_s=START_TIMEOUT_S, doing=f"starting actor {place}")
        return actor

    def give_back(self, handles: Sequence[SegmentHandle]) -> None:
        """Be done; who does not forget his videos in time is ended."""
        self._is_over.set()
        answers = {handle.place: handle.abandon() for handle in handles}
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=CLOSE_TIMEOUT_S)
        fit = [handle.place for handle in handles if _has_succeeded(answers[handle.place])]
        for handle in handles:
            if handle.place not in fit:
                handle.kill()
        self._tell("take_back", self.borrower, fit)

    def end(self) -> None:
        """Be done, and have nobody kept."""
        self._is_over.set()
        with suppress(exceptions.RayError, ValueError):
            ray.kill(self.steward)

    def _beat(self) -> None:
        while not self._is_over.wait(BEAT_S):
            with suppress(Exception):
                self.steward.touch.options(name="touch").remote(self.borrower)

    def _tell(self, method: str, *arguments: Any) -> None:
        ref = getattr(self.steward, method).options(name=method).remote(*arguments)
        ray.wait([ref], timeout=CLOSE_TIMEOUT_S)


def borrow(terms: Terms, job: str, *, keep_warm_s: float, timeout_s: float) -> Loan:
    """Borrow actors that were started on these terms, or have a new steward reserve the room.

    Args:
        terms: what they must have been started with.
        job: who borrows.
        keep_warm_s: how long a new steward keeps them when nobody borrows.
        timeout_s: how long to wait for room.

    Raises:
        ClusterError: there is no room within the time, or no steward can be started.
        WeightsError, StoreError: the engine's files can't be read.
    """
    digest, borrower = terms.digest(), f"{job}-{secrets.token_hex(4)}"
    alike = f"{PREFIX}-{digest}-"
    if (found := _borrowed(alike, borrower)) is not None:
        return found
    mine = _appointed(f"{alike}{secrets.token_hex(4)}", terms, keep_warm_s, borrower)
    try:
        loan = _first_of(mine, alike, borrower, timeout_s)
    except BaseException:
        _dismiss(mine)
        raise
    if loan is None:
        _dismiss(mine)
        raise no_room(terms.share, timeout_s)
    if loan.steward != mine:
        _dismiss(mine)
    return loan


def _first_of(mine: Any, alike: str, borrower: str, timeout_s: float) -> Loan | None:
    """From a new steward when it has room, or from another if that is free before."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            loan = _loan(mine, borrower, mine.reserved, borrower, SLICE_S)
        except exceptions.ActorDiedError as error:
            raise ClusterError(f"the steward of the actors could not start: {error}") from error
        if loan is not None or time.monotonic() >= end_s:
            return loan
        if (loan := _borrowed(alike, borrower)) is not None:
            return loan
        make_room(besides=alike)


def _borrowed(alike: str, borrower: str) -> Loan | None:
    """From any steward with such a name whom nobody borrows from; a new one has its borrower."""
    for steward in _stewards(alike):
        # It may just have ended.
        with suppress(exceptions.ActorDiedError):
            if (loan := _loan(steward, borrower, steward.lend, borrower)) is not None:
                return loan
    return None


def make_room(besides: str = "") -> None:
    """Ask stewards whom nobody borrows from to leave.

    Args:
        besides: who has a name that begins like this is not asked; empty: all are.
    """
    refs = [
        steward.leave_if_idle.options(name="leave_if_idle").remote()
        for steward in _stewards(f"{PREFIX}-", besides)
    ]
    if refs:
        ray.wait(refs, num_returns=len(refs), timeout=ANSWER_TIMEOUT_S)


def _appointed(name: str, terms: Terms, keep_warm_s: float, borrower: str) -> Any:
    """A new steward, on this node if it can be: its death is then ours."""
    node = ray.get_runtime_context().get_node_id()
    near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True)
    remote: Any = ray.remote
    kept = remote(concurrency_groups=CONCURRENCY_GROUPS)(Steward).options(
        name=name,
        lifetime="detached",
        num_cpus=0,
        scheduling_strategy=near,
    )
    return kept.remote(name, terms, keep_warm_s, SILENT_S, borrower)


def _stewards(prefix: str, besides: str = "") -> Iterator[Any]:
    for name in sorted(list_named_actors()):
        if name.startswith(prefix) and not (besides and name.startswith(besides)):
            # It may just have ended.
            with suppress(ValueError):
                yield ray.get_actor(name)


def _loan(steward: Any, borrower: str, method: Any, *arguments: Any) -> Loan | None:
    """What a steward lends, if it answers, has room, and nobody else has it.

    Raises:
        ActorDiedError: it does not live any more.
    """
    ref = method.options(name="lend").remote(*arguments)
    try:
        lent: Lent | None = ray.get(ref, timeout=ANSWER_TIMEOUT_S)
    except (exceptions.GetTimeoutError, exceptions.ActorUnavailableError):
        return None
    if lent is None:
        return None
    group, number, actors = lent
    return Loan(steward, borrower, group, number * EPOCHS_PER_LOAN, actors)


def _dismiss(steward: Any) -> None:
    if steward is not None:
        with suppress(exceptions.RayError, ValueError):
            ray.kill(steward)


def _has_succeeded(ref: Any) -> bool:
    try:
        ray.get(ref, timeout=0)
    except Exception:  # noqa: BLE001  # whatever it was, it is not fit for others
        return False
    return True
