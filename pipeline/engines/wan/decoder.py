"""Latents to frames, one latent frame at a time, exactly as ``AutoencoderKLWan.decode`` does it.

Wan's decoder is causal in time: each causal convolution needs the last two frames of its own input,
and diffusers' modules take these from a list the caller owns. ``AutoencoderKLWan.decode`` keeps
that list on the shared module; here it belongs to the decoder of one video, so that videos can be
decoded in alternation.

Shape suffixes: B = 1, C latent channels, T latent frames, F frames, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, unpatchify

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class WanStreamDecoder:
    """Decodes the latents of one video in order. Memory in use does not grow with the video."""

    def __init__(self, vae: Any) -> None:
        """Start a video on a loaded ``AutoencoderKLWan``; it is not changed and may be shared."""
        self._vae = vae
        convolutions = [
            module for module in vae.decoder.modules() if isinstance(module, WanCausalConv3d)
        ]
        self._cache: list[Tensor | str | None] = [None] * len(convolutions)
        self._is_first = True
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
        before the next push.
        """
        assert self._due == 0, f"{self._due} latent frames of the last push were never decoded"
        self._due = len(latents_TCHW)
        return self._frames(latents_TCHW)

    def _frames(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        for latent_CHW in latents_TCHW:
            frames_FHWC = self._decode(latent_CHW)
            self._due -= 1
            yield frames_FHWC

    @torch.no_grad()
    def _decode(self, latent_CHW: Tensor) -> NDArray[np.uint8]:
        latent_BCTHW = latent_CHW[None, :, None].to(self._vae.device, self._vae.dtype)
        latent_BCTHW = latent_BCTHW / self._inverse_std_BCTHW + self._mean_BCTHW
        pixels_BCFHW = self._vae.decoder(
            self._vae.post_quant_conv(latent_BCTHW),
            feat_cache=self._cache,
            feat_idx=[0],
            first_chunk=self._is_first,
        )
        self._is_first = False
        if self._vae.config.patch_size is not None:
            pixels_BCFHW = unpatchify(pixels_BCFHW, patch_size=self._vae.config.patch_size)
        return _to_bytes(pixels_BCFHW)


def _to_bytes(pixels_BCFHW: Tensor) -> NDArray[np.uint8]:
    """From -1..1 to 0..255, rounded half to even as diffusers' ``VideoProcessor`` does."""
    unit_BCFHW = (pixels_BCFHW.clamp(-1, 1) * 0.5 + 0.5).clamp(0, 1)
    bytes_BCFHW = (unit_BCFHW.float() * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = bytes_BCFHW[0].permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return array
