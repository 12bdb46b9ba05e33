"""What autoencoders and video codecs do to pictures, so that the judge looks past it.

Softness, colour shifts, noise, halved colour resolution and coarsely quantised 8 x 8 blocks, each
clip to its own degree; a share of clips is left as it is. Pixels are RGB in [-1, 1].

Shapes: B clips, F frames, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

UNTOUCHED = 0.25
MAX_BLUR_PX = 1.3
MAX_GAIN = 0.06
MAX_SHIFT = 0.05
MAX_NOISE = 0.07
MAX_QUANTUM = 0.25
BLOCK = 8


def degrade(clips_BF3HW: Tensor, generator: torch.Generator) -> Tensor:
    """The clips as an autoencoder or a codec might hand them on, on their own device.

    Random as ``generator``, which is on the CPU, says.
    """
    device = clips_BF3HW.device
    seed = int(torch.randint(2**62, (), generator=generator))
    grain = torch.Generator(device).manual_seed(seed)
    return torch.stack([_degrade_clip(clip, generator, grain) for clip in clips_BF3HW])


def _degrade_clip(clip_F3HW: Tensor, generator: torch.Generator, grain: torch.Generator) -> Tensor:
    """One clip; every effect has a strength of its own."""

    def uniform(low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    if uniform() < UNTOUCHED:
        return clip_F3HW
    clip = blur(clip_F3HW, uniform(0.0, MAX_BLUR_PX))
    if uniform() < 0.5:
        clip = coarse_colours(clip)
    if uniform() < 0.5:
        clip = quantise(clip, uniform(0.0, MAX_QUANTUM))
    gain, shift = (2.0 * torch.rand(2, 3, 1, 1, generator=generator) - 1.0).to(clip.device)
    noise = torch.randn(clip.shape, generator=grain, device=clip.device)
    shifted = clip * (1.0 + MAX_GAIN * gain) + MAX_SHIFT * shift
    grained: Tensor = shifted + uniform(0.0, MAX_NOISE) * noise
    return grained.clamp(-1.0, 1.0)


def blur(clip_F3HW: Tensor, sigma_px: float) -> Tensor:
    """Gaussian softness of ``sigma_px`` pixels."""
    if sigma_px < 0.2:
        return clip_F3HW
    reach = math.ceil(3.0 * sigma_px)
    places = torch.arange(-reach, reach + 1, dtype=torch.float32, device=clip_F3HW.device)
    kernel = torch.exp(-0.5 * (places / sigma_px).square())
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(clip_F3HW, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel, groups=3)
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=3)


def coarse_colours(clip_F3HW: Tensor) -> Tensor:
    """Full resolution in brightness, half of it in colour."""
    weights = clip_F3HW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    bright = (clip_F3HW * weights).sum(dim=1, keepdim=True)
    colour = functional.avg_pool2d(clip_F3HW - bright, 2)
    return bright + functional.interpolate(colour, scale_factor=2, mode="bilinear")


def quantise(clip_F3HW: Tensor, quantum: float) -> Tensor:
    """Every 8 x 8 block with its cosine coefficients rounded, fine structure more coarsely."""
    if quantum <= 0.0:
        return clip_F3HW
    place = torch.arange(BLOCK, dtype=torch.float32, device=clip_F3HW.device)
    basis = torch.cos(math.pi / BLOCK * (place[None] + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2.0)
    step = quantum * (0.25 + (place[:, None] + place[None]) / BLOCK)
    frames, _, height, width = clip_F3HW.shape
    blocks = clip_F3HW.view(frames, 3, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    blocks = blocks.transpose(3, 4)
    coarse = torch.round(basis @ blocks @ basis.T / step) * step
    return (basis.T @ coarse @ basis).transpose(3, 4).reshape(clip_F3HW.shape)
