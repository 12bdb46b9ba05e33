"""Wan's causal decoder with a cache of its own: one latent frame in, its pixels out.

Each causal convolution needs the last two frames of its own input, and diffusers' modules take
these from a list that the caller owns. ``AutoencoderKLWan.decode`` keeps that list on the shared
module; here it belongs to whoever decodes, so that videos, and tiles of one, can be decoded in
alternation.

Shape suffixes: B = 1, C latent channels, T = 1 latent frame, F frames, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify

if TYPE_CHECKING:
    from torch import Tensor


class CausalDecoder:
    """Decodes one video's, or one tile's, latent frames in order.

    Attributes:
        cache: the last frames of each convolution's input.
    """

    def __init__(self, vae: Any) -> None:
        """Start on a loaded ``AutoencoderKLWan``; it is not changed and may be shared."""
        self._vae = vae
        convolutions = [
            module for module in vae.decoder.modules() if isinstance(module, WanCausalConv3d)
        ]
        self.cache: list[Tensor | str | None] = [None] * len(convolutions)
        self._is_first = True

    @torch.no_grad()
    def decode(self, latent_BCTHW: Tensor) -> Tensor:
        """The pixels ``[B, 3, F, H, W]`` of the next latent frame, about -1 to 1."""
        pixels_BCFHW: Tensor = self._vae.decoder(
            self._vae.post_quant_conv(latent_BCTHW),
            feat_cache=self.cache,
            feat_idx=[0],
            first_chunk=self._is_first,
        )
        self._is_first = False
        if self._vae.config.patch_size is not None:
            pixels_BCFHW = unpatchify(pixels_BCFHW, patch_size=self._vae.config.patch_size)
        return pixels_BCFHW

    def rest(self) -> None:
        """Let the cache wait in the host's memory; each convolution takes its part back itself."""
        self.cache = [
            entry.cpu() if isinstance(entry, torch.Tensor) else entry for entry in self.cache
        ]
