"""Stage ``autoencoder``: learn to press clips into latents and to bring them back.

First on single frames, then on crops of clips, then on whole clips. Time starts out switched off
(``inflate``): what single frames taught becomes a codec that holds pictures still, and clips have
only motion left to teach. The loss is L1 plus squared error plus a small KL term that keeps latents
near unit size. Encoder and decoder are driven in two pieces, latent frame 0 and all others: the
same numbers as diffusers' loop over single latent frames, in less time; and without the final
clamp, which would kill gradients.

Shapes: B clips, C latent channels, T latent frames, F frames, H and W in pixels or latent pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanResample,
    patchify,
    unpatchify,
)
from torch import Tensor, nn

from jobs.embedded.footage import held_out_scenes, to_bytes, to_pixels
from jobs.embedded.pictures import save_grid
from pipeline.world import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobs.embedded.footage import Footage
    from jobs.embedded.recipe import AutoencoderRecipe, Recipe

VALIDATION_SCENES = 8


def build_autoencoder(recipe: AutoencoderRecipe) -> AutoencoderKLWan:
    """A fresh autoencoder in Wan's shape: a latent pixel holds 4 frames of 8 x 8 pixels."""
    channels = 3 * recipe.patch_size**2
    vae = AutoencoderKLWan(
        base_dim=recipe.base_dim,
        decoder_base_dim=recipe.decoder_base_dim,
        z_dim=recipe.z_dim,
        dim_mult=list(recipe.dim_mult),
        num_res_blocks=recipe.num_res_blocks,
        temperal_downsample=[True] * (len(recipe.dim_mult) - 1),
        latents_mean=[0.0] * recipe.z_dim,
        latents_std=[1.0] * recipe.z_dim,
        is_residual=recipe.is_residual,
        in_channels=channels,
        out_channels=channels,
        patch_size=recipe.patch_size,
        scale_factor_temporal=4,
        scale_factor_spatial=8,
    )
    nn.init.constant_(vae.quant_conv.bias[recipe.z_dim :], recipe.initial_logvar)
    inflate(vae)
    return to_channels_last(vae)


def inflate(vae: AutoencoderKLWan) -> None:
    """Make every convolution look at the present alone, and resampling in time pick or repeat."""
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, WanCausalConv3d) and module.kernel_size[0] == 3:
                module.weight[:, :, :2] = 0.0
            if isinstance(module, WanResample) and hasattr(module, "time_conv"):
                weight = module.time_conv.weight
                copies = weight.shape[0] // weight.shape[1]
                weight.zero_()
                weight[:, :, 2, 0, 0] = torch.eye(weight.shape[1]).repeat(copies, 1)
                module.time_conv.bias.zero_()


def to_channels_last(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Lay out convolution weights the way a CPU likes them; the numbers stay the same."""
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return vae


def encode_moments(vae: AutoencoderKLWan, pixels_B3FHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance of latents, each ``[B, C, T, H/8, W/8]``; F must be 1 + 4 (T - 1)."""
    patches = patchify(pixels_B3FHW, vae.config.patch_size)
    caches = [None] * sum(isinstance(m, WanCausalConv3d) for m in vae.encoder.modules())
    pieces = [
        vae.encoder(piece, feat_cache=caches, feat_idx=[0])
        for piece in (patches[:, :, :1], patches[:, :, 1:])
        if piece.shape[2]
    ]
    moments = vae.quant_conv(torch.cat(pieces, dim=2)).float()
    mean, logvar = moments.chunk(2, dim=1)
    return mean, logvar.clamp(-30.0, 20.0)


def decode_unclamped(vae: AutoencoderKLWan, latents_BCTHW: Tensor) -> Tensor:
    """Pixels ``[B, 3, F, H, W]`` that may leave [-1, 1], with gradients everywhere."""
    latents = vae.post_quant_conv(latents_BCTHW)
    caches = [None] * sum(isinstance(m, WanCausalConv3d) for m in vae.decoder.modules())
    first = vae.decoder(latents[:, :, :1], feat_cache=caches, feat_idx=[0], first_chunk=True)
    rest = [
        vae.decoder(piece, feat_cache=caches, feat_idx=[0])
        for piece in (latents[:, :, 1:],)
        if piece.shape[2]
    ]
    pixels: Tensor = unpatchify(torch.cat([first, *rest], dim=2), vae.config.patch_size)
    return pixels.float()


def psnr(error: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB of an error between pixels in [-1, 1]."""
    return -10.0 * torch.log10(error.square().mean() / 4.0)


class AutoencoderStage:
    """The stage as the training loop sees it; it draws from the first clips of ``footage``."""

    name = "autoencoder"

    def __init__(self, recipe: Recipe, footage: Footage, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        torch.manual_seed(recipe.seed)
        self.vae = build_autoencoder(recipe.autoencoder).to(device)
        self.footage = footage

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The autoencoder alone."""
        return {"vae": self.vae}

    def batch(self, step: int, fraction: float) -> tuple[Tensor, ...]:
        """Pixels of ``step``, and the noise of their latents."""
        rng = np.random.default_rng([self.recipe.seed, 1, step])
        pixels_B3FHW = self._pixels(rng, fraction)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        batch, _, frames, height, width = pixels_B3FHW.shape
        latents = (batch, self.recipe.autoencoder.z_dim, 1 + frames // 4, height // 8, width // 8)
        return pixels_B3FHW, torch.randn(latents, generator=generator, device=self.device)

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Reconstruction and KL of a batch."""
        ours = self.recipe.autoencoder
        pixels, noise = batch
        with torch.autocast(self.device.type, torch.bfloat16, enabled=ours.bf16):
            mean, logvar = encode_moments(self.vae, pixels)
            decoded = decode_unclamped(self.vae, mean + torch.exp(0.5 * logvar) * noise)
        error = decoded - pixels
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        loss = error.abs().mean() + ours.square_weight * error.square().mean()
        return loss + ours.kl_weight * kl, {"psnr": psnr(error.detach()), "kl": kl.detach()}

    def _pixels(self, rng: np.random.Generator, fraction: float) -> Tensor:
        """Single frames, then crops of clips, then whole clips, ``[B, 3, F, H, W]``."""
        ours = self.recipe.autoencoder
        if fraction < ours.still_until:
            batch, frames, side = ours.still_batch, 1, ours.still_crop
        elif fraction < ours.crop_until:
            batch, frames, side = ours.crop_batch, ours.clip_frames, ours.crop
        else:
            batch, frames, side = ours.whole_batch, ours.clip_frames, None
        among = min(ours.clips, self.footage.shape[0])
        pieces = self.footage.pieces(rng, batch, among=among, frames=frames, side=side)
        return to_pixels(pieces, self.device)

    def sample(self, folder: Path, step: int) -> None:
        """Held-out clear scenes above their reconstructions."""
        truth, decoded = reconstruct(self.vae, self.recipe, VALIDATION_SCENES, clear=False)
        middle = truth.shape[2] // 2
        rows = [[*to_bytes(clips[:, :, middle : middle + 1])[:, 0]] for clips in (truth, decoded)]
        save_grid(rows, folder / f"autoencoder_{step:06d}.png")


def reconstruct(
    vae: AutoencoderKLWan, recipe: Recipe, count: int, *, clear: bool
) -> tuple[Tensor, Tensor]:
    """Held-out clips and what the autoencoder makes of them, ``[B, 3, F, H, W]`` in [-1, 1]."""
    geometry = recipe.geometry
    times = np.arange(geometry.window_frames) / geometry.fps
    truths, decoded = [], []
    for scene in held_out_scenes(count, clear=clear):
        pixels = render(scene, times, geometry.height, geometry.width)
        truth = to_pixels(pixels, next(vae.parameters()).device)[None]
        with torch.no_grad():
            decoded.append(vae.decode(vae.encode(truth).latent_dist.mean).sample)
        truths.append(truth)
    return torch.cat(truths), torch.cat(decoded)
