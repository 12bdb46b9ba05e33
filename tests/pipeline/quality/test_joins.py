"""Where the joins of a layout are, worked out by hand."""

from __future__ import annotations

import pytest

from pipeline.boundary import BoundaryModeName, BoundaryOptions
from pipeline.layout import lay_out
from pipeline.quality.joins import Join, Joins, joins_at, joins_of
from pipeline.spans import num_frames_of

WINDOW, NUM_STEPS = 13, 5


def _joins(
    mode: BoundaryModeName, num_latent_frames: int = 40, num_steps: int = NUM_STEPS
) -> Joins:
    boundary = lay_out(
        BoundaryOptions(mode=mode),
        num_latent_frames=num_latent_frames,
        window_latent_frames=WINDOW,
        temporal_compression=4,
        num_steps=num_steps,
    )
    num_frames = num_frames_of(num_latent_frames, 4)
    return joins_of(boundary, num_steps=num_steps, temporal_compression=4, num_frames=num_frames)


@pytest.mark.parametrize("mode", ["halo", "consensus"])
def test_a_grid_s_joins_are_the_core_borders_of_the_last_step(mode: BoundaryModeName) -> None:
    # Cores of 9. The last of five steps is step 4, whose offset is an eighth of 9, rounded down: 1.
    # A core of one latent frame, no longer than the halo, joins its neighbour.
    borders = [10, 19, 28, 37]
    assert _joins(mode).starts == tuple(1 + 4 * (border - 1) for border in borders)
    # Step 1 is offset by a half: 4.
    borders = [4, 13, 22, 31]
    assert _joins(mode, num_steps=2).starts == tuple(1 + 4 * (border - 1) for border in borders)


def test_the_joins_of_windows_on_their_own_are_their_cuts() -> None:
    # Every window but the first gives up one latent frame: 13, then 12 more each; the last window
    # is pushed back inside the video.
    joins = _joins("none")
    assert joins.starts == tuple(1 + 4 * (border - 1) for border in (13, 25, 37))
    assert all(len(join.frames) == 1 for join in joins.joins)


def test_the_joins_of_decay_are_its_cross_fades() -> None:
    # Windows of 13 that overlap by 4 begin at 0, 9, 18, 27. The overlap 9..12 takes 0, 1/4, 1/2 and
    # 3/4 of the later window, and 13 is the later window's alone.
    first = _joins("decay").joins[0]
    assert first.frames == tuple(1 + 4 * (latent_frame - 1) for latent_frame in (10, 11, 12, 13))
    assert _joins("decay").starts == tuple(1 + 4 * (b - 1) for b in (10, 19, 28))


def test_one_window_has_no_joins() -> None:
    for mode in ("halo", "consensus", "decay", "none"):
        assert not _joins(mode, num_latent_frames=WINDOW)  # type: ignore[arg-type]


def test_beside_a_join_is_the_same_phase_and_nearer_to_it_than_to_another() -> None:
    joins = joins_at([(37,), (61,), (137,)], 160, 4)
    assert joins.joins[0] == Join((37,), before=(29, 25, 21), after=(45,))
    assert joins.joins[1] == Join((61,), before=(53,), after=(69, 73, 77))
    assert joins.joins[2] == Join((137,), before=(129, 125, 121), after=(145, 149, 153))
    assert joins.period_frames == 50


def test_beside_a_join_is_inside_the_video_and_so_is_the_join() -> None:
    assert joins_at([(5,)], 10, 4).joins == (Join((5,), before=(), after=()),)
    assert joins_at([(9,)], 18, 4).joins == (Join((9,), before=(1,), after=(17,)),)
    assert not joins_at([(0,), (18,), (40,)], 18, 4)
