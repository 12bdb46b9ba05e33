"""What an exception out of Ray means for a video.

While a segment is sampled, ``fault_of`` tells who is at fault:

    from Ray                                means                              what is done
    ActorDiedError, WorkerCrashedError,     its process is gone                replaced, replays
    OutOfMemoryError, ActorUnavailableError
    RayTaskError around StepFailedError     the code or the model failed       replaced, replays
      of another segment                    a neighbour failed                 submitted again
    RayTaskError around the first line      a neighbour's process is gone      submitted again
    RayTaskError around ObjectLostError,    a boundary is gone with its node   the gang goes back
    OwnerDiedError, or these themselves
    RayTaskError around one of our errors   the row or the store is at fault   that error is raised

Everywhere else ``reraise`` turns an exception into one of ours:

    RayTaskError around one of our errors   the row, store or encoder is at fault   that error
    RayTaskError around a death or a loss   another segment is gone                 SegmentDiedError
    RayTaskError around anything else       the code or the model failed            SegmentError
    ActorDiedError around our own error     the actor could not be made             that error
    a process or an object is gone          a segment is gone                       SegmentDiedError
    GetTimeoutError                         a segment hangs                         SegmentDiedError
    NodeDiedError, RaySystemError           the cluster is in trouble               ClusterError
    AuthenticationError                     the token is wrong                      ClusterError

Deliberately not caught: ``TaskCancelledError`` (that was us) and ``KeyboardInterrupt``.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NoReturn

from ray import exceptions

from pipeline.errors import ClusterError, NightreelError, SegmentError

PROCESS_GONE = (
    exceptions.ActorDiedError,
    exceptions.ActorUnavailableError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
)
OBJECT_GONE = (exceptions.ObjectLostError, exceptions.OwnerDiedError)
SEGMENT_DIED = (*PROCESS_GONE, *OBJECT_GONE, exceptions.GetTimeoutError)
CLUSTER_FAILED = (
    exceptions.NodeDiedError,
    exceptions.RaySystemError,
    exceptions.AuthenticationError,
    exceptions.RuntimeEnvSetupError,
    exceptions.ActorUnschedulableError,
    exceptions.LocalRayletDiedError,
)

RAY_FAILURES = (exceptions.RayTaskError, *SEGMENT_DIED, *CLUSTER_FAILED)


class SegmentDiedError(SegmentError):
    """A segment's process is gone for good; the video may be tried again with other actors."""


class SegmentOutOfMemoryError(SegmentDiedError):
    """A segment's processes were ended, again and again, because the machine's memory ran out."""


class GangBrokenError(SegmentDiedError):
    """More is gone than can be replayed: the gang has to go back to the last whole snapshot."""


class StepFailedError(SegmentError):
    """What an actor makes of an exception that is nobody's answer, such as a CUDA error.

    Attributes:
        segment: whose step it was; who waited for its boundary sees the same error.
    """

    def __init__(self, segment: int, message: str) -> None:
        super().__init__(segment, message)
        self.segment = segment

    def __str__(self) -> str:
        return str(self.args[1])


class Fault(Enum):
    """Who is at fault when a call to a segment's actor fails."""

    PROCESS = auto()
    NEIGHBOUR = auto()
    BOUNDARY_LOST = auto()
    NOBODY_ELSE = auto()


def fault_of(error: Exception, segment: int) -> Fault:
    """Who is at fault, as the first table above has it.

    Args:
        error: one of ``RAY_FAILURES``.
        segment: whose call it was.
    """
    if not isinstance(error, exceptions.RayTaskError):
        if isinstance(_cause_of_failed_start(error), NightreelError):
            return Fault.NOBODY_ELSE
        if isinstance(error, PROCESS_GONE):
            return Fault.PROCESS
        return Fault.BOUNDARY_LOST if isinstance(error, OBJECT_GONE) else Fault.NOBODY_ELSE
    cause = error.cause
    if isinstance(cause, StepFailedError):
        return Fault.PROCESS if cause.segment == segment else Fault.NEIGHBOUR
    if isinstance(cause, OBJECT_GONE):
        return Fault.BOUNDARY_LOST
    return Fault.NEIGHBOUR if isinstance(cause, PROCESS_GONE) else Fault.NOBODY_ELSE


def reraise(error: Exception, doing: str) -> NoReturn:
    """Raise what a Ray exception means, as the table above has it.

    Args:
        error: one of ``RAY_FAILURES``.
        doing: what was going on, for the message: which video, segment, step.
    """
    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, NightreelError):
            raise cause from error
        if isinstance(cause, SEGMENT_DIED):
            raise SegmentDiedError(f"{doing}: {in_short(cause)}") from error
        raise SegmentError(f"{doing}: {type(cause).__name__}: {cause}") from error
    cause = _cause_of_failed_start(error)
    if isinstance(cause, NightreelError):
        raise cause from error
    if cause is not None:
        raise SegmentDiedError(f"{doing}: {type(cause).__name__}: {cause}") from error
    if isinstance(error, SEGMENT_DIED):
        raise SegmentDiedError(f"{doing}: {in_short(error)}") from error
    raise ClusterError(f"{doing}: {in_short(error)}") from error


def _cause_of_failed_start(error: Exception) -> Exception | None:
    """What an actor's constructor raised, if that is why the actor died."""
    if not isinstance(error, exceptions.ActorDiedError):
        return None
    return next((a.cause for a in error.args if isinstance(a, exceptions.RayTaskError)), None)


def in_short(error: Exception) -> str:
    """What happened, and, where a remote traceback follows, its last line: the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Ray goes on about what commonly kills processes.
    last = [line.partition(" Some common causes")[0] for line in lines[-1:]]
    shown = lines[:1] + (last if len(lines) > 1 else [])
    return f"{type(error).__name__}: {' ... '.join(shown) or 'no message'}"
