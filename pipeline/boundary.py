"""The four ways in which neighbouring windows constrain each other.

All of them speak of *slots*, the time axis of the sampler's state. Where every latent frame has one
owner (``halo``, ``consensus``) a slot is a latent frame. Where every window keeps its own copy of
the frames it sees (``decay``, ``none``) the slots are those copies, window after window, and a
*join* turns them into latent frames at the end. Ownership, exchange and solver are the same for
both.

    mode        windows                        before a step           after the last step
    halo        shifted grid, core only        -                       -
    consensus   shifted grid, ramp-averaged    -                       -
    decay       fixed, overlapping copies      copies drawn together   cross-fade of the overlaps
    none        fixed copies                   -                       hard cut

A border is a place where one segment may end and the next begin. Borders move with the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.spans import Span
    from pipeline.windows import Window

BoundaryModeName = Literal["halo", "consensus", "decay", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryOptions:
    """How neighbouring windows constrain each other.

    Attributes:
        mode: ``halo`` (default), ``consensus``, ``decay`` (the published rule) or ``none``.
        halo_latent_frames: P, read on either side of a core (``halo``, ``consensus``).
        shift: move the grid every step; off only for comparison.
        overlap_frames: frames that neighbouring copies share (``decay``).
    """

    mode: BoundaryModeName = "halo"
    halo_latent_frames: int = 2
    shift: bool = True
    overlap_frames: int = 16

    def __post_init__(self) -> None:
        if self.mode not in {"halo", "consensus", "decay", "none"}:
            raise ConfigError(
                f"boundary.mode = {self.mode!r}: expected halo, consensus, decay or none"
            )
        if self.halo_latent_frames < 1:
            raise ConfigError(
                f"boundary.halo_latent_frames = {self.halo_latent_frames}: expected at least 1, "
                "since a model takes a window's first latent frame for a still picture"
            )
        if self.overlap_frames < 1:
            raise ConfigError(
                f"boundary.overlap_frames = {self.overlap_frames}: expected at least 1"
            )


@dataclass(frozen=True, slots=True)
class Coupling:
    """Two copies of the same latent frames, each to move by ``pull`` of the way to the other.

    No slot is in two couplings, so they may be applied one after the other in place.
    """

    left: Span
    right: Span
    pull: float


@dataclass(frozen=True, slots=True)
class Joint:
    """A run of slots that starts at latent frame ``first_latent_frame``.

    Its first ``len(fade)`` frames exist already, from the run before: the result takes ``fade[i]``
    of this run and the rest of the other.
    """

    span: Span
    first_latent_frame: int
    fade: tuple[float, ...]


class Boundary(Protocol):
    """One mode laid out over one video."""

    @property
    def num_slots(self) -> int:
        """Length of the state's time axis."""
        ...

    @property
    def num_borders(self) -> int:
        """Those numbered 1..num_borders exist at every step; 0 and the next at some, perhaps."""
        ...

    @property
    def min_cores(self) -> int:
        """Cores between two borders, so that an exchange never reaches past the neighbour."""
        ...

    def border(self, step: int, index: int) -> int:
        """The slot at which border ``index`` stands at ``step``, if it exists there."""
        ...

    def latent_frames(self, span: Span) -> Sequence[int]:
        """The latent frame of each slot of ``span``."""
        ...

    def windows(self, step: int, owned: Span) -> Sequence[Window]:
        """The windows whose predictions are needed for the slots ``owned``, in order."""
        ...

    def reads(self, step: int, owned: Span) -> Span:
        """The slots whose latents are needed at ``step`` to advance ``owned``."""
        ...

    def weights(self, window: Window) -> Sequence[float]:
        """Share of the window's prediction in the average, for each slot of its span."""
        ...

    def couplings(self, step: int, owned: Span) -> Sequence[Coupling]:
        """What is drawn together before the forward; empty in most modes."""
        ...

    def joints(self) -> Sequence[Joint]:
        """How the slots become latent frames: one entry per run of slots, in order."""
        ...
