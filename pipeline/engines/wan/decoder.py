"""Latents to frames, one latent frame at a time, exactly as ``AutoencoderKLWan.decode`` does it.

Wan's decoder is causal in time, so a video can be decoded as a stream. In tiles it can be decoded
with less memory: a few latent frames of one tile, then of the next, each with a cache of its own
that waits in the host's memory for its turn.

Shape suffixes: B = 1, C latent channels, T latent frames, F frames, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipeline.engines.wan.causal import CausalDecoder
from pipeline.tiling import Tile, Tiling, tiles_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# Latent frames that a tile decodes before the next has its turn: enough for moving caches to and
# from a GPU to be little, few enough for their pixels to be little too.
LATENT_FRAMES_PER_TURN = 4


class WanStreamDecoder:
    """Decodes the latents of one video in order. Memory in use does not grow with the video."""

    def __init__(self, vae: Any, tiling: Tiling | None = None) -> None:
        """Start a video on a loaded ``AutoencoderKLWan``; it is not changed and may be shared.

        Args:
            vae: the autoencoder.
            tiling: the tiles to decode in; ``None``: the whole picture at once.
        """
        self._vae, self._tiling = vae, tiling
        self._causal: list[CausalDecoder] = []
        self._tiles: list[Tile] = []
        self._due = 0
        shape = (1, vae.config.z_dim, 1, 1, 1)
        self._mean_BCTHW = (
            torch.tensor(vae.config.latents_mean).view(shape).to(vae.device, vae.dtype)
        )
        std_BCTHW = torch.tensor(vae.config.latents_std).view(shape).to(vae.device, vae.dtype)
        # diffusers divides by the inverse: the same number but for its rounding.
        self._inverse_std_BCTHW = 1.0 / std_BCTHW

    def push(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Decode the next latent frames; see ``StreamDecoder.push``.

        Takes ``[T, C, H, W]`` as the sampler left them; yields ``[F, H, W, 3]`` of RGB bytes. What
        is pushed must stay as it is until its frames have been taken, and these must be taken
        before the next push. In tiles the pixels of ``LATENT_FRAMES_PER_TURN`` are in memory.
        """
        assert self._due == 0, f"{self._due} latent frames of the last push were never decoded"
        self._due = len(latents_TCHW)
        return self._frames(latents_TCHW)

    def _frames(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        if not self._causal:
            self._begin(*latents_TCHW.shape[2:])
        per_turn = LATENT_FRAMES_PER_TURN if self._tiles else 1
        for start in range(0, len(latents_TCHW), per_turn):
            for pixels_BCFHW in self._decode(latents_TCHW[start : start + per_turn]):
                self._due -= 1
                yield _to_bytes(pixels_BCFHW)

    def _begin(self, height: int, width: int) -> None:
        tiles: list[Tile] = []
        if self._tiling is not None:
            compression = self._vae.config.scale_factor_spatial
            tiles = tiles_of(height, width, compression, self._tiling)
        self._causal = [CausalDecoder(self._vae) for _ in range(max(1, len(tiles)))]
        self._tiles = tiles if len(tiles) > 1 else []

    def _decode(self, turn_TCHW: Tensor) -> list[Tensor]:
        """The pixels of each latent frame."""
        latents_BCTHW = [self._scaled(latent_CHW) for latent_CHW in turn_TCHW]
        if self._tiles:
            return self._blended(latents_BCTHW)
        return [self._causal[0].decode(latent_BCTHW) for latent_BCTHW in latents_BCTHW]

    def _blended(self, latents_BCTHW: list[Tensor]) -> list[Tensor]:
        """Tile after tile, each for all of these latent frames, laid over one another."""
        factor = self._vae.config.scale_factor_spatial
        sums_BCFHW: list[Tensor] = []
        for tile, causal in zip(self._tiles, self._causal, strict=True):
            weights_HW = tile.weights_HW.to(self._vae.device)
            for index, latent_BCTHW in enumerate(latents_BCTHW):
                part_BCFHW = causal.decode(tile.latents(latent_BCTHW))
                if index == len(sums_BCFHW):
                    size = [factor * side for side in latent_BCTHW.shape[-2:]]
                    sums_BCFHW.append(part_BCFHW.new_zeros(*part_BCFHW.shape[:3], *size))
                tile.pixels(sums_BCFHW[index]).add_(part_BCFHW * weights_HW)
            causal.rest()
        return sums_BCFHW

    def _scaled(self, latent_CHW: Tensor) -> Tensor:
        """From the sampler's scale to the autoencoder's, ``[B, C, 1, H, W]``."""
        latent_BCTHW = latent_CHW[None, :, None].to(self._vae.device, self._vae.dtype)
        return latent_BCTHW / self._inverse_std_BCTHW + self._mean_BCTHW


def _to_bytes(pixels_BCFHW: Tensor) -> NDArray[np.uint8]:
    """From -1..1 to 0..255, rounded half to even as diffusers' ``VideoProcessor`` does."""
    unit_BCFHW = (pixels_BCFHW.clamp(-1, 1) * 0.5 + 0.5).clamp(0, 1)
    bytes_BCFHW = (unit_BCFHW.float() * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = bytes_BCFHW[0].permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return array
