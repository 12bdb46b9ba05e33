"""How finished latents become frames: in one stream or by pieces, whole or in tiles."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.tiling import Tiling


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How finished latents become frames.

    Attributes:
        parallel: whether all actors of a gang decode, a piece of the video each; else one actor
            decodes all of it as a stream.
        piece_latent_frames: how long a piece may be.
        warmup_latent_frames: latent frames before a piece that are decoded with it and whose frames
            are thrown away; ``None``: as many as the decoder can hear, which is exact.
        tiled: whether pictures are decoded in tiles, which is not exact but bounds memory.
        tile_px, overlap_px: see ``Tiling``.
    """

    parallel: bool = False
    piece_latent_frames: int = 64
    warmup_latent_frames: int | None = None
    tiled: bool = False
    tile_px: int = 256
    overlap_px: int = 64

    def __post_init__(self) -> None:
        if self.piece_latent_frames < 1:
            raise ConfigError(
                f"decode.piece_latent_frames = {self.piece_latent_frames}: expected at least 1"
            )
        if self.warmup_latent_frames is not None and self.warmup_latent_frames < 1:
            raise ConfigError(
                f"decode.warmup_latent_frames = {self.warmup_latent_frames}: expected at least 1, "
                "since a decoder takes the first latent frame that it sees for a still picture"
            )
        Tiling(tile_px=self.tile_px, overlap_px=self.overlap_px)

    @property
    def tiling(self) -> Tiling | None:
        """The tiles, if there are to be any."""
        return Tiling(tile_px=self.tile_px, overlap_px=self.overlap_px) if self.tiled else None

    def warmup_for(self, reach_latent_frames: int) -> int:
        """Latent frames before a piece, for a decoder that hears so many of them."""
        if self.warmup_latent_frames is None:
            return reach_latent_frames
        return min(self.warmup_latent_frames, reach_latent_frames)

    def is_exact_for(self, reach_latent_frames: int) -> bool:
        """Whether frames are those of one whole stream, bit for bit."""
        is_warm = self.warmup_for(reach_latent_frames) == reach_latent_frames
        return not self.tiled and (is_warm or not self.parallel)
