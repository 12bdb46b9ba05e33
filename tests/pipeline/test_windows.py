"""The grid of windows at one step."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spans import Span
from pipeline.windows import bit_reversed_offset, shifted_grid


@st.composite
def grids(draw: st.DrawFn) -> tuple[int, int, int, int]:
    halo = draw(st.integers(1, 5))
    core = draw(st.integers(halo + 1, 24))
    length = draw(st.one_of(st.integers(1, 200), st.integers(1, 60_000)))
    return length, core + 2 * halo, halo, draw(st.integers(0, core - 1))


@given(grids())
def test_cores_tile_the_video_and_windows_are_whole(grid: tuple[int, int, int, int]) -> None:
    length, window_length, halo, offset = grid
    windows = shifted_grid(length, window_length, halo, offset)
    assert [w.core.start for w in windows] == [0, *[w.core.stop for w in windows[:-1]]]
    assert windows[-1].core.stop == length
    for window in windows:
        assert len(window.span) == min(window_length, length)
        assert window.span in Span(0, length)
        assert window.core in window.span


@given(grids())
def test_every_core_has_its_halo_but_at_the_ends(grid: tuple[int, int, int, int]) -> None:
    length, window_length, halo, offset = grid
    for window in shifted_grid(length, window_length, halo, offset):
        assert window.core.start == 0 or window.core.start - window.span.start >= halo
        assert window.core.stop == length or window.span.stop - window.core.stop >= halo


@given(grids())
def test_only_the_first_window_answers_for_the_still_position(
    grid: tuple[int, int, int, int],
) -> None:
    for window in shifted_grid(*grid)[1:]:
        assert window.core.start > window.span.start


@given(grids())
def test_an_edge_core_is_longer_than_the_halo(grid: tuple[int, int, int, int]) -> None:
    length, window_length, halo, offset = grid
    windows = shifted_grid(length, window_length, halo, offset)
    if length > window_length:
        core = window_length - 2 * halo
        assert halo < len(windows[0].core) <= core + halo
        assert halo < len(windows[-1].core) <= core + halo
        assert all(len(window.core) == core for window in windows[1:-1])


def test_a_video_no_longer_than_a_window_is_one_window() -> None:
    for length in range(1, 22):
        for offset in range(17):
            (window,) = shifted_grid(length, 21, 2, offset)
            assert window.span == window.core == Span(0, length)


def test_offsets_are_the_van_der_corput_sequence() -> None:
    assert [bit_reversed_offset(step, 16) for step in range(8)] == [0, 8, 4, 12, 2, 10, 6, 14]


@pytest.mark.parametrize("core", [5, 9, 17])
def test_no_seam_stays_where_it_was_a_step_before(core: int) -> None:
    offsets = [bit_reversed_offset(step, core) for step in range(20)]
    assert all(0 <= offset < core for offset in offsets)
    assert all(a != b for a, b in itertools.pairwise(offsets))


def test_figures_of_the_published_window() -> None:
    """Wan: 21 latent frames, core 17; what the design says changes owner."""
    offsets = [bit_reversed_offset(step, 17) for step in range(20)]
    moves = [abs(b - a) for a, b in itertools.pairwise(offsets)]
    assert max(moves) <= 15
    assert 6 <= sum(moves) / len(moves) <= 10
