"""The window grid: how a video is cut into windows at each step.

A window is what the model sees in one forward. It answers for its core and only reads the halo of
``P`` latent frames on either side. Cores tile the video. The grid is a function of the video's
length and the step alone, never of who computes it; it moves every step by a bit-reversed offset,
so that core borders never sit in the same place in consecutive steps (the ordered halving of
ComfyUI's ``context_windows.py``).

    core         |-----|-----------------|-----------------|--------|
    windows      [===================]
                    [=====================]
                                      [=====================]
                                              [=====================]

Edges: every window is ``W`` long and is pushed back inside the video at both ends, so edge windows
only have more halo. A core at an edge that is no longer than ``P`` joins its neighbour. A video
that is no longer than ``W`` is one window. Interior windows always begin at least one latent frame
before their core: a causal autoencoder's latent frame 0 is a still picture, and models expect one
in position 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from pipeline.spans import Span


@dataclass(frozen=True, slots=True)
class Window:
    """One forward of the model: it sees ``span`` and answers for ``core``, both in slots."""

    span: Span
    core: Span


def bit_reversed_offset(step: int, core_latent_frames: int) -> int:
    """How far the grid of a step is shifted: 0, 1/2, 1/4, 3/4, 1/8, ... of a core, rounded down.

    The fraction is the van der Corput sequence in base 2.
    """
    numerator, denominator = 0, 1
    while step:
        numerator = 2 * numerator + (step & 1)
        denominator *= 2
        step >>= 1
    return core_latent_frames * numerator // denominator


@lru_cache(maxsize=128)
def shifted_grid(
    num_latent_frames: int, window_latent_frames: int, halo_latent_frames: int, offset: int
) -> tuple[Window, ...]:
    """The windows of one step, in order, over a video of ``num_latent_frames``.

    Args:
        num_latent_frames: length of the video, at least 1.
        window_latent_frames: W, the model's own length.
        halo_latent_frames: P; the core is ``C = W - 2 P`` long and must be longer than ``P``.
        offset: where the first full core begins, ``0 <= offset < C``.
    """
    video = Span(0, num_latent_frames)
    if num_latent_frames <= window_latent_frames:
        return (Window(span=video, core=video),)
    core = window_latent_frames - 2 * halo_latent_frames
    borders = [
        border
        for border in range(offset, num_latent_frames, core)
        if halo_latent_frames < border < num_latent_frames - halo_latent_frames
    ]
    edges = [0, *borders, num_latent_frames]
    last_start = num_latent_frames - window_latent_frames
    windows = []
    for start, stop in pairwise(edges):
        first = min(max(0, start - halo_latent_frames), last_start)
        windows.append(Window(Span(first, first + window_latent_frames), Span(start, stop)))
    return tuple(windows)
