"""Boundary modes in which every window keeps its own copies: ``decay`` and ``none``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.boundary import Coupling, Joint
from pipeline.errors import ConfigError
from pipeline.spans import Span
from pipeline.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SeparateCopies:
    """``decay`` and ``none``: every window keeps its own copy of all the frames that it sees.

    Neighbours overlap by ``overlap_latent_frames``. The last window is pushed back inside the video
    and sees more of its neighbour's frames; of these, the last ``overlap_latent_frames`` are the
    overlap and the others, which it sees but does not answer for, count for nothing.

    With ``coupled``, before step k each copy of an overlap moves by ``w / 2`` towards the
    neighbour's, ``w = 1 - (k / num_steps)**2``, and overlaps are cross-faded at the end. Otherwise
    the later window's copy of the overlap is thrown away.
    """

    num_latent_frames: int
    window_latent_frames: int
    overlap_latent_frames: int
    num_steps: int
    coupled: bool

    def __post_init__(self) -> None:
        if 2 * self.overlap_latent_frames > self.window_latent_frames:
            raise ConfigError(
                f"boundary.overlap_frames: an overlap of {self.overlap_latent_frames} latent "
                f"frames must be at most half the window of {self.window_latent_frames}"
            )

    @property
    def num_windows(self) -> int:
        """Windows needed to see every latent frame."""
        beyond = max(0, self.num_latent_frames - self.window_latent_frames)
        return 1 + -(-beyond // (self.window_latent_frames - self.overlap_latent_frames))

    @property
    def num_slots(self) -> int:
        """All copies, window after window."""
        return self.num_windows * self._length

    @property
    def num_borders(self) -> int:
        """One between any two windows."""
        return self.num_windows - 1

    @property
    def min_cores(self) -> int:
        """One: a window only ever meets the next."""
        return 1

    def border(self, step: int, index: int) -> int:
        """Borders stand still."""
        del step
        return index * self._length

    def latent_frames(self, span: Span) -> Sequence[int]:
        """The frame that each copy is a copy of."""
        return [
            self._first_latent_frame(slot // self._length) + slot % self._length for slot in span
        ]

    def windows(self, step: int, owned: Span) -> Sequence[Window]:
        """The windows whose copies are owned."""
        del step
        return [Window(self._slots(index), self._slots(index)) for index in self._indices(owned)]

    def reads(self, step: int, owned: Span) -> Span:
        """What is owned, and the neighbours' copies of the overlaps at its ends."""
        reads = owned
        for coupling in self.couplings(step, owned):
            reads = reads.cover(coupling.left).cover(coupling.right)
        return reads

    def weights(self, window: Window) -> Sequence[float]:
        """Every window answers for all of its own copies."""
        return [1.0] * len(window.span)

    def couplings(self, step: int, owned: Span) -> Sequence[Coupling]:
        """Every overlap of which one side at least is owned."""
        if not self.coupled:
            return ()
        pull = 0.5 * (1.0 - (step / self.num_steps) ** 2)
        indices = self._indices(owned)
        joined = range(max(1, indices.start), min(indices.stop, self.num_windows - 1) + 1)
        return [self._coupling(index, pull) for index in joined]

    def joints(self) -> Sequence[Joint]:
        """Cross-fade or cut; either way a later window's first frame counts for nothing."""
        return [
            Joint(self._slots(index), self._first_latent_frame(index), self._fade(index))
            for index in range(self.num_windows)
        ]

    @property
    def _length(self) -> int:
        return min(self.window_latent_frames, self.num_latent_frames)

    def _indices(self, owned: Span) -> range:
        return range(owned.start // self._length, -(-owned.stop // self._length))

    def _slots(self, index: int) -> Span:
        return Span(index * self._length, (index + 1) * self._length)

    def _first_latent_frame(self, index: int) -> int:
        stride = self.window_latent_frames - self.overlap_latent_frames
        return min(index * stride, self.num_latent_frames - self._length)

    def _num_seen_before(self, index: int) -> int:
        """Latent frames at the start of a window that the window before it sees too."""
        before = self._first_latent_frame(index - 1) + self._length
        return before - self._first_latent_frame(index)

    def _coupling(self, index: int, pull: float) -> Coupling:
        border, overlap = index * self._length, self.overlap_latent_frames
        stop = border + self._num_seen_before(index)
        return Coupling(Span(border - overlap, border), Span(stop - overlap, stop), pull)

    def _fade(self, index: int) -> tuple[float, ...]:
        if index == 0:
            return ()
        seen_before, overlap = self._num_seen_before(index), self.overlap_latent_frames
        ramp = [i / overlap if self.coupled else 0.0 for i in range(overlap)]
        return (*[0.0] * (seen_before - overlap), *ramp)
