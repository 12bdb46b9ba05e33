"""Pictures cut into overlapping tiles that are blended into one another.

A decoder's activations grow with the picture; a tile's do not. Along each side tiles are equally
long, overlap by the same number of latent pixels, and fade into each other linearly across the
overlap, so that the weights of a pixel add up to one. Sizes are those of
``AutoencoderKLWan.enable_tiling`` (huggingface/diffusers 0.42): tiles of 256 pixels, 192 apart.

Shape suffixes: H height, W width, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline.errors import ConfigError
from pipeline.spans import Span

if TYPE_CHECKING:
    from torch import Tensor

# Sides of tiles are multiples of this: what one latent pixel may be, in any published autoencoder.
SIDE_STEP_PX = 16

# A tile is at least so many overlaps long, so that no pixel is in three tiles along one side.
OVERLAPS_PER_TILE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How large tiles are.

    Attributes:
        tile_px: longest side of a tile.
        overlap_px: across which neighbouring tiles are blended.
    """

    tile_px: int = 256
    overlap_px: int = 64

    def __post_init__(self) -> None:
        for name in ("tile_px", "overlap_px"):
            value = getattr(self, name)
            if value < SIDE_STEP_PX or value % SIDE_STEP_PX:
                raise ConfigError(
                    f"decode.{name} = {value}: expected a multiple of {SIDE_STEP_PX}, at least "
                    f"{SIDE_STEP_PX}"
                )
        if self.tile_px < OVERLAPS_PER_TILE * self.overlap_px:
            raise ConfigError(
                f"decode.overlap_px = {self.overlap_px}: expected at most a third of "
                f"decode.tile_px = {self.tile_px}"
            )


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a picture.

    Attributes:
        rows, columns: the latent pixels that it is decoded from.
        spatial_compression: pixels per latent pixel along each side.
        weights_HW: how much its pixels count; those of all tiles add up to one.
    """

    rows: Span
    columns: Span
    spatial_compression: int
    weights_HW: Tensor

    def latents(self, picture: Tensor) -> Tensor:
        """Its part of a whole picture's latents ``[..., H, W]``."""
        rows, columns = self.rows, self.columns
        return picture[..., rows.start : rows.stop, columns.start : columns.stop]

    def pixels(self, picture: Tensor) -> Tensor:
        """Its part of a whole picture's pixels ``[..., H, W]``."""
        top, bottom, left, right = (
            edge * self.spatial_compression
            for span in (self.rows, self.columns)
            for edge in (span.start, span.stop)
        )
        return picture[..., top:bottom, left:right]


def tiles_of(height: int, width: int, spatial_compression: int, tiling: Tiling) -> list[Tile]:
    """The tiles of a picture of ``height`` x ``width`` latent pixels, row by row.

    A picture no larger than a tile is one tile, all of whose weights are one.
    """
    tile = tiling.tile_px // spatial_compression
    overlap = tiling.overlap_px // spatial_compression
    rows, columns = _cut(height, tile, overlap), _cut(width, tile, overlap)
    rows_H = _ramps(rows, overlap * spatial_compression, spatial_compression)
    columns_W = _ramps(columns, overlap * spatial_compression, spatial_compression)
    return [
        Tile(row, column, spatial_compression, weights_H[:, None] * weights_W[None, :])
        for row, weights_H in zip(rows, rows_H, strict=True)
        for column, weights_W in zip(columns, columns_W, strict=True)
    ]


def _cut(length: int, tile: int, overlap: int) -> list[Span]:
    """The fewest equally long spans, none longer than ``tile``, each overlapping the next."""
    count = max(1, -(-(length - overlap) // (tile - overlap)))
    stride = -(-(length - overlap) // count)
    return [
        Span(i * stride, min(i * stride + stride + overlap, length))
        for i in range(count)
        if i == 0 or i * stride + overlap < length
    ]


def _ramps(spans: list[Span], overlap_px: int, spatial_compression: int) -> list[Tensor]:
    """Weights of the pixels of each span: up at its start and down at its end, if others are there.

    What one has the other lacks: both are multiples of a power of two, so their sum is exactly one.
    """
    rising = (torch.arange(overlap_px, dtype=torch.float32) + 0.5) / overlap_px
    ramps = []
    for index, span in enumerate(spans):
        weights = torch.ones(len(span) * spatial_compression)
        if index > 0:
            weights[:overlap_px] = rising
        if index + 1 < len(spans):
            weights[-overlap_px:] = 1.0 - rising
        ramps.append(weights)
    return ramps
