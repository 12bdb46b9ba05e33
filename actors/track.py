"""How far one segment is, through all the processes that may have computed it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ray import ObjectRef

    from actors.handles import SegmentHandle, StepRefs

TaskKind = Literal["load", "begin", "step", "flush", "ping"]


@dataclass(frozen=True, slots=True)
class Task:
    """A call that an actor owes an answer to. An actor answers in the order of calls.

    Attributes:
        kind, step: what it is about.
        ref: the answer.
        saves: whether a snapshot is taken after the step.
        gives: all that a step returns.
    """

    kind: TaskKind
    step: int
    ref: ObjectRef[Any]
    saves: bool = False
    gives: StepRefs | None = None

    @property
    def refs(self) -> list[ObjectRef[Any]]:
        """All calls that it is made of, in order: when one fails, those after it tell nothing."""
        return [self.ref] if self.gives is None else [self.gives.begun, self.ref]


@dataclass(slots=True)
class Track:
    """One segment's way through a video.

    Attributes:
        segment: its number.
        handle: the actor that computes it now.
        epoch: of that actor; it refuses calls for any other.
        first_step: where that actor began, with all that the step reads.
        next_submit: the next step to submit to it.
        next_report: the next step that it will have finished.
        furthest: steps that were finished by any actor; the boundaries of these are there.
        owed: calls without an answer, oldest first.
    """

    segment: int
    handle: SegmentHandle
    epoch: int
    first_step: int
    next_submit: int = 0
    next_report: int = 0
    furthest: int = 0
    owed: deque[Task] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.restart(self.handle, self.epoch, self.first_step)

    def restart(self, handle: SegmentHandle, epoch: int, first_step: int) -> None:
        """Another actor takes over; what the last one owes is forgotten."""
        self.handle, self.epoch, self.first_step = handle, epoch, first_step
        self.next_submit = self.next_report = first_step
        self.furthest = max(self.furthest, first_step)
        self.owed.clear()

    def rewind(self) -> None:
        """The same actor is to be given its unfinished steps again."""
        self.next_submit = self.next_report
        self.owed.clear()
