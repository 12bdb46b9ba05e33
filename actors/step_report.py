"""What a finished step tells the driver: numbers, never tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.snapshot_writer import Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step of one segment.

    Attributes:
        compute_s: seconds in both parts of the step, without waiting for neighbours.
        waited_s: of these, in which a network was another video's.
        num_windows: windows that the model saw.
        sent_bytes: boundary bytes handed to neighbours.
        save_s: seconds that the step took longer because a snapshot was taken.
        saved: what was stored of snapshots since the last report.
        profile: the memory profile that the engine was loaded with; empty if it has none.
    """

    segment: int
    step: int
    compute_s: float
    num_windows: int
    sent_bytes: int
    waited_s: float = 0.0
    save_s: float = 0.0
    saved: tuple[Saved, ...] = ()
    profile: str = ""
