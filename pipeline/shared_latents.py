"""Boundary modes in which every latent frame has exactly one latent: ``halo``, ``consensus``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.boundary import Coupling, Joint
from pipeline.errors import ConfigError
from pipeline.spans import Span
from pipeline.windows import Window, bit_reversed_offset, shifted_grid

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SharedLatents:
    """``halo`` and ``consensus``: one latent per latent frame, a grid that moves every step."""

    num_latent_frames: int
    window_latent_frames: int
    halo_latent_frames: int
    shift: bool
    blend: bool

    def __post_init__(self) -> None:
        if self.core_latent_frames <= self.halo_latent_frames:
            raise ConfigError(
                f"boundary.halo_latent_frames = {self.halo_latent_frames}: a window of "
                f"{self.window_latent_frames} latent frames leaves a core of "
                f"{self.core_latent_frames}; expected a core longer than the halo"
            )

    @property
    def core_latent_frames(self) -> int:
        """C = W - 2 P."""
        return self.window_latent_frames - 2 * self.halo_latent_frames

    @property
    def num_slots(self) -> int:
        """One slot per latent frame."""
        return self.num_latent_frames

    @property
    def num_borders(self) -> int:
        """Borders that lie inside the video wherever the grid moves to."""
        if self.num_latent_frames <= self.window_latent_frames:
            return 0
        furthest = self.core_latent_frames - 1 if self.shift else 0
        room = self.num_latent_frames - self.halo_latent_frames - 1 - furthest
        return max(0, room // self.core_latent_frames)

    @property
    def min_cores(self) -> int:
        """Two; three when windows that straddle a border are computed on both sides of it."""
        return 3 if self.blend else 2

    def border(self, step: int, index: int) -> int:
        """Borders move with the grid."""
        return self._offset(step) + index * self.core_latent_frames

    def latent_frames(self, span: Span) -> Sequence[int]:
        """A slot is a latent frame."""
        return range(span.start, span.stop)

    def windows(self, step: int, owned: Span) -> Sequence[Window]:
        """Windows whose core, widened by the ramp where there is one, meets ``owned``."""
        ramp = self.halo_latent_frames if self.blend else 0
        return [
            window
            for window in self._grid(step)
            if window.core.start - ramp < owned.stop and owned.start < window.core.stop + ramp
        ]

    def reads(self, step: int, owned: Span) -> Span:
        """Everything that those windows see."""
        windows = self.windows(step, owned)
        return windows[0].span.cover(windows[-1].span)

    def weights(self, window: Window) -> Sequence[float]:
        """1 on the core; with ``blend``, a linear ramp of 2 P frames around each core border."""
        return [self._weight(window.core, slot) for slot in window.span]

    def couplings(self, step: int, owned: Span) -> Sequence[Coupling]:
        """None: neighbours share their latents."""
        del step, owned
        return ()

    def joints(self) -> Sequence[Joint]:
        """The slots are the latent frames."""
        return (Joint(Span(0, self.num_slots), 0, ()),)

    def _offset(self, step: int) -> int:
        return bit_reversed_offset(step, self.core_latent_frames) if self.shift else 0

    def _grid(self, step: int) -> tuple[Window, ...]:
        return shifted_grid(
            self.num_latent_frames,
            self.window_latent_frames,
            self.halo_latent_frames,
            self._offset(step),
        )

    def _weight(self, core: Span, slot: int) -> float:
        if not self.blend:
            return 1.0 if core.start <= slot < core.stop else 0.0
        ramp = 2 * self.halo_latent_frames
        left = right = 1.0
        if core.start > 0:
            left = (slot - core.start + self.halo_latent_frames) / ramp
        if core.stop < self.num_latent_frames:
            right = (core.stop + self.halo_latent_frames - slot) / ramp
        return max(0.0, min(1.0, left, right))
