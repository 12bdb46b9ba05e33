from __future__ import annotations

import pytest

from benchmarks.seams.joins import joins
from pipeline.boundary import BoundaryOptions
from pipeline.layout import lay_out
from pipeline.spans import Span


def _joins(mode: str, num_latent_frames: int, num_steps: int = 1, **options: object) -> list[Span]:
    boundary = lay_out(
        BoundaryOptions(mode=mode, **options),  # type: ignore[arg-type]
        num_latent_frames=num_latent_frames,
        window_latent_frames=21,
        temporal_compression=4,
        num_steps=num_steps,
    )
    return list(joins(boundary, num_steps))


@pytest.mark.parametrize("mode", ["halo", "consensus"])
def test_shared_latents_meet_at_the_core_borders_of_the_last_two_steps(mode: str) -> None:
    assert _joins(mode, 51) == [Span(15, 19), Span(32, 36)]
    # Offsets 0, 8 and 4: the first step's borders are forgotten.
    shifted = [Span(b - 2, b + 2) for b in (4, 8, 21, 25, 38, 42)]
    assert _joins(mode, 51, num_steps=3) == shifted


def test_copies_meet_in_the_overlap_that_is_faded() -> None:
    # Windows at 0, 17 and 30: the last is pushed back and shares only its last 4 seen frames.
    assert _joins("decay", 51) == [Span(17, 21), Span(34, 38)]


def test_uncoupled_windows_meet_at_the_cut() -> None:
    # Windows at 0, 20 and 30; each later one's first seen frames are the window's before it.
    assert _joins("none", 51) == [Span(19, 23), Span(39, 43)]


@pytest.mark.parametrize("mode", ["halo", "consensus", "decay", "none"])
def test_one_window_has_no_joins(mode: str) -> None:
    assert _joins(mode, 21) == []
