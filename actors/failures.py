"""What an exception out of Ray means for a video.

    from Ray                               means                                   we raise
    RayTaskError around one of our errors  the row, store or encoder is at fault   that error itself
    RayTaskError around anything else      the code or the model failed            SegmentError
    ActorDiedError around our own error    the actor could not be made             that error itself
    ActorDiedError, ActorUnavailableError  a segment's process is gone             SegmentError
    WorkerCrashedError, OutOfMemoryError   a segment's process is gone             SegmentError
    ObjectLostError, OwnerDiedError        a boundary is gone with its node        SegmentError
    GetTimeoutError                        a segment hangs                         SegmentError
    NodeDiedError, RaySystemError          the cluster is in trouble               ClusterError
    AuthenticationError                    the token is wrong                      ClusterError

Deliberately not caught: ``TaskCancelledError`` (that was us) and ``KeyboardInterrupt``.
"""

from __future__ import annotations

from typing import NoReturn

from ray import exceptions

from pipeline.errors import ClusterError, NightreelError, SegmentError

SEGMENT_DIED = (
    exceptions.ActorDiedError,
    exceptions.ActorUnavailableError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.ObjectLostError,
    exceptions.OwnerDiedError,
    exceptions.GetTimeoutError,
)
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
    """A segment's process is gone, and its gang with it; the video can be tried again."""


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
        raise SegmentError(f"{doing}: {type(cause).__name__}: {cause}") from error
    cause = _cause_of_failed_start(error)
    if isinstance(cause, NightreelError):
        raise cause from error
    if cause is not None:
        raise SegmentDiedError(f"{doing}: {type(cause).__name__}: {cause}") from error
    if isinstance(error, SEGMENT_DIED):
        raise SegmentDiedError(f"{doing}: {_in_short(error)}") from error
    raise ClusterError(f"{doing}: {_in_short(error)}") from error


def _cause_of_failed_start(error: Exception) -> Exception | None:
    """What an actor's constructor raised, if that is why the actor died."""
    if not isinstance(error, exceptions.ActorDiedError):
        return None
    return next((a.cause for a in error.args if isinstance(a, exceptions.RayTaskError)), None)


def _in_short(error: Exception) -> str:
    """What happened, and, where a remote traceback follows, its last line: the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = lines[:1] + (lines[-1:] if len(lines) > 1 else [])
    return f"{type(error).__name__}: {' ... '.join(shown) or 'no message'}"
