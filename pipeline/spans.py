"""Half-open runs of slots, and the arithmetic between frames and latent frames.

A causal video autoencoder holds one frame in latent frame 0 and ``temporal_compression`` frames in
every other (Wan 2.1, ``wan/modules/vae.py``), so ``n`` latent frames hold ``1 + r (n - 1)`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The integers ``start <= i < stop``; empty when ``stop == start``."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        assert self.start <= self.stop, f"span [{self.start}, {self.stop}) runs backwards"

    def __len__(self) -> int:
        return self.stop - self.start

    def __bool__(self) -> bool:
        return self.stop > self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __str__(self) -> str:
        return f"[{self.start}, {self.stop})"

    def __contains__(self, other: Span) -> bool:
        return self.start <= other.start and other.stop <= self.stop

    def intersect(self, other: Span) -> Span:
        """What both hold; empty, at the later start, when they don't meet."""
        start = max(self.start, other.start)
        return Span(start, max(start, min(self.stop, other.stop)))

    def cover(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(min(self.start, other.start), max(self.stop, other.stop))

    def within(self, outer: Span) -> slice:
        """Where this span lies in an array that holds ``outer``."""
        assert self in outer, f"{self} is not inside {outer}"
        return slice(self.start - outer.start, self.stop - outer.start)


def num_frames_of(num_latent_frames: int, temporal_compression: int) -> int:
    """How many frames that many latent frames decode to."""
    return 1 + temporal_compression * (num_latent_frames - 1)


def num_latent_frames_for(num_frames: int, temporal_compression: int) -> int:
    """The fewest latent frames that decode to at least ``num_frames`` frames."""
    return 1 + -(-(num_frames - 1) // temporal_compression)


def first_frame_of(latent_frame: int, temporal_compression: int) -> int:
    """The first frame that a latent frame decodes to."""
    return 0 if latent_frame == 0 else 1 + temporal_compression * (latent_frame - 1)


def centre_s(latent_frame: int, temporal_compression: int, fps: float) -> float:
    """The time at the middle of a latent frame, in seconds from the start of the video."""
    frames = 1 if latent_frame == 0 else temporal_compression
    return (first_frame_of(latent_frame, temporal_compression) + frames / 2) / fps
