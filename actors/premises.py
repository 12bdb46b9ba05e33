"""The room that a crew's actors have on the cluster, and whoever starts them there.

A job's own premises end with it. Kept ones are a steward's (``actors.steward``), who lends them to
one job after another: whoever comes next with the same engine finds its weights loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from actors.failures import SegmentDiedError
from actors.handles import SegmentHandle, close_all
from actors.loan import make_room
from actors.placement import release, reserve
from actors.seat import Seat
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ray.util.placement_group import PlacementGroup

    from actors.loan import Loan
    from actors.terms import Terms
    from pipeline.stores import StoreFactory


class Premises(Protocol):
    """Where a crew works.

    Attributes:
        group: the placement group; a place is a bundle of it.
        first_epoch: no attempt on these actors had this number or a greater one.
    """

    @property
    def group(self) -> PlacementGroup:
        """See above."""
        ...

    @property
    def first_epoch(self) -> int:
        """See above."""
        ...

    def found(self) -> Mapping[int, SegmentHandle]:
        """Who is there already, with the engine loaded, and works for this job now; by place."""
        ...

    def start(self, place: int) -> SegmentHandle:
        """Start an actor in a place, whose last one has ended; does not wait until it has loaded.

        Raises:
            ClusterError: nobody can be started there any more.
        """
        ...

    def leave(self, handles: Iterable[SegmentHandle], *, keeps: bool) -> None:
        """Be done with the room and all actors in it; where others may want them, ``keeps`` them.

        Only the first call does anything.
        """
        ...


@dataclass(slots=True)
class OwnPremises:
    """Room that this job alone has, and gives back."""

    terms: Terms
    store: StoreFactory
    job: str
    group: PlacementGroup
    first_epoch: int = 1
    _is_left: bool = False

    @classmethod
    def taken(cls, terms: Terms, store: StoreFactory, job: str, *, timeout_s: float) -> OwnPremises:
        """Reserve the room.

        Raises:
            ClusterError: there is none within the time.
        """
        return cls(terms, store, job, reserve(terms.share, timeout_s, make_room))

    def found(self) -> Mapping[int, SegmentHandle]:
        """Nobody."""
        return {}

    def start(self, place: int) -> SegmentHandle:
        """See ``Premises``."""
        return SegmentHandle.start(Seat(self.job, place), self.group, self.terms, self.store)

    def leave(self, handles: Iterable[SegmentHandle], *, keeps: bool) -> None:
        """See ``Premises``; nobody is kept."""
        del keeps
        if not self._is_left:
            self._is_left = True
            close_all(list(handles))
            release(self.group)


@dataclass(slots=True)
class LentPremises:
    """Room that a steward lends."""

    loan: Loan
    store: StoreFactory
    job: str
    _is_left: bool = False

    @property
    def group(self) -> PlacementGroup:
        """See ``Premises``."""
        return self.loan.group

    @property
    def first_epoch(self) -> int:
        """See ``Premises``."""
        return self.loan.first_epoch

    def found(self) -> Mapping[int, SegmentHandle]:
        """See ``Premises``."""
        return {place: self._enlisted(actor, place) for place, actor in self.loan.actors.items()}

    def start(self, place: int) -> SegmentHandle:
        """See ``Premises``."""
        try:
            return self._enlisted(self.loan.start(place, self.store), place)
        except SegmentDiedError as error:
            raise ClusterError(
                f"the steward of the actors is gone, and they with it: {error}"
            ) from error

    def _enlisted(self, actor: Any, place: int) -> SegmentHandle:
        handle = SegmentHandle(actor, Seat(self.job, place))
        handle.enlist(self.store)
        return handle

    def leave(self, handles: Iterable[SegmentHandle], *, keeps: bool) -> None:
        """See ``Premises``."""
        if not self._is_left:
            self._is_left = True
            if keeps:
                self.loan.give_back(list(handles))
            else:
                close_all(list(handles))
                self.loan.end()
