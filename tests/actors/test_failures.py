"""What an exception out of Ray means for a segment: the first table of ``actors.failures``."""

from __future__ import annotations

import pytest
from ray import exceptions

from actors.failures import Fault, StepFailedError, fault_of
from pipeline.errors import NotFiniteError

LOST = exceptions.ObjectLostError("f" * 56, None, "")
OWNERLESS = exceptions.OwnerDiedError("f" * 56, None, "")


def in_a_task(cause: Exception) -> exceptions.RayTaskError:
    """An exception as a call gives it that met it on the way."""
    return exceptions.RayTaskError("step", "a traceback", cause)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (exceptions.ActorDiedError(), Fault.PROCESS),
        (exceptions.ActorUnavailableError("gone for now", None), Fault.PROCESS),
        (exceptions.OutOfMemoryError("too much"), Fault.PROCESS),
        (in_a_task(StepFailedError(1, "CUDA")), Fault.PROCESS),
        (in_a_task(StepFailedError(0, "CUDA")), Fault.NEIGHBOUR),
        (in_a_task(exceptions.ActorDiedError()), Fault.NEIGHBOUR),
        (in_a_task(LOST), Fault.BOUNDARY_LOST),
        (in_a_task(OWNERLESS), Fault.BOUNDARY_LOST),
        (LOST, Fault.BOUNDARY_LOST),
        (in_a_task(NotFiniteError("NaN")), Fault.NOBODY_ELSE),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else type(value).__name__,
)
def test_whose_fault_it_is(error: Exception, fault: Fault) -> None:
    assert fault_of(error, segment=1) is fault
