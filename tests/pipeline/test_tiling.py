"""Tiles cover a picture, and what they weigh adds up to one everywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.tiling import Tiling, tiles_of


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 160),
    overlap=st.integers(1, 4),
    spare=st.integers(0, 12),
    compression=st.sampled_from([8, 16]),
)
def test_weights_add_up_to_one(
    height: int, width: int, overlap: int, spare: int, compression: int
) -> None:
    tiling = Tiling(tile_px=16 * (3 * overlap + spare), overlap_px=16 * overlap)
    picture = torch.zeros(height * compression, width * compression)
    for tile in tiles_of(height, width, compression, tiling):
        assert len(tile.rows) * compression <= tiling.tile_px
        assert len(tile.columns) * compression <= tiling.tile_px
        assert tile.weights_HW.min() > 0
        tile.pixels(picture).add_(tile.weights_HW)
    assert (picture - 1.0).abs().max() <= 2**-22


def test_neighbours_overlap_by_what_was_asked_for() -> None:
    # 832 x 480 in diffusers' own sizes.
    tiles = tiles_of(60, 104, 8, Tiling())
    rows = sorted({(tile.rows.start, tile.rows.stop) for tile in tiles})
    columns = sorted({(tile.columns.start, tile.columns.stop) for tile in tiles})
    assert len(tiles) == len(rows) * len(columns) == 12
    for spans, length in ((rows, 60), (columns, 104)):
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(left[1] - right[0] == 8 for left, right in pairwise(spans))


def test_a_picture_no_larger_than_a_tile_is_one_tile() -> None:
    (tile,) = tiles_of(32, 17, 8, Tiling())
    assert torch.equal(tile.weights_HW, torch.ones(256, 136))


@pytest.mark.parametrize(
    ("tile_px", "overlap_px", "message"),
    [
        (250, 64, r"decode\.tile_px = 250: expected a multiple of 16"),
        (256, 0, r"decode\.overlap_px = 0: expected a multiple of 16, at least 16"),
        (256, 96, r"decode\.overlap_px = 96: expected at most a third of decode\.tile_px = 256"),
    ],
)
def test_sizes_that_can_t_be_are_refused(tile_px: int, overlap_px: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tiling(tile_px=tile_px, overlap_px=overlap_px)
