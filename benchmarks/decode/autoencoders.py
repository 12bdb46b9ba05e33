"""Engines and latents to decode: the embedded model on a finished video, random ones on noise.

Random autoencoders have the depth of the published ones, and so their reach, at a fraction of their
width. They are the worst case: nothing was trained to forget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from jobs.config import load_config
from pipeline import reference
from pipeline.engines.registry import EngineOptions, load_engine
from pipeline.engines.wan.decoder import WanStreamDecoder
from pipeline.engines.wan.reach import reach_latent_frames
from pipeline.plan import plan_video
from pipeline.request import VideoSpec, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pipeline.engines.protocol import StreamDecoder
    from pipeline.tiling import Tiling

SEED = 3
PROMPT = "a red ball rolls over green hills at night"

# Of the published autoencoders: what sets their decoder's shape in time.
PUBLISHED = {"num_res_blocks": 2, "dim_mult": [1, 2, 4, 4], "base_dim": 4}
PATCHED = {
    "is_residual": True,
    "patch_size": 2,
    "in_channels": 12,
    "out_channels": 12,
    "scale_factor_spatial": 16,
}
# Standard deviation of pixels, about what pictures have.
PIXEL_STD = 0.4


@dataclass(frozen=True, slots=True)
class Subject:
    """What is decoded.

    Attributes:
        name: for the table.
        reach_latent_frames: of its decoder.
        latents_TCHW: finished latents, or noise.
        decoder: makes a fresh one.
    """

    name: str
    reach_latent_frames: int
    latents_TCHW: Tensor
    decoder: Callable[[Tiling | None], StreamDecoder]


def embedded(duration_s: float, num_steps: int) -> Subject:
    """The embedded model and a video that it has made, one window after another."""
    config = load_config(overrides=[f"defaults.num_inference_steps={num_steps}"])
    engine = load_engine(EngineOptions(device="cpu"))
    spec = VideoSpec(id="decode", prompt=PROMPT, seed=SEED, duration_s=duration_s)
    request = resolve(spec, config.defaults, engine.spec)
    plan = plan_video(request, engine.spec, config.render_options)
    reach = engine.spec.decode_reach_latent_frames
    return Subject("embedded", reach, reference.sample(plan, engine), engine.stream_decoder)


@torch.no_grad()
def random_weights(name: str, num_latent_frames: int, side: int) -> Subject:
    """A random autoencoder, ``2.1`` or ``2.2``, on noise of ``side`` latent pixels a side."""
    torch.manual_seed(SEED)
    channels = 16 if name == "2.1" else 48
    options: dict[str, Any] = {**PUBLISHED, **({} if name == "2.1" else PATCHED)}
    vae = AutoencoderKLWan(
        **options,
        z_dim=channels,
        latents_mean=[0.0] * channels,
        latents_std=[1.0] * channels,
    ).eval()
    _spread_pixels(vae, channels)
    reach = reach_latent_frames(vae.config.num_res_blocks, [*vae.config.temperal_downsample][::-1])
    latents_TCHW = torch.randn(num_latent_frames, channels, side, side)
    return Subject(
        f"random Wan {name}",
        reach,
        latents_TCHW,
        lambda tiling: WanStreamDecoder(vae, tiling),
    )


def _spread_pixels(vae: Any, channels: int) -> None:
    """Rescale the last layer: random decoders give grey pictures."""
    raw: list[Tensor] = []
    last = vae.decoder.conv_out
    hook = last.register_forward_hook(lambda _module, _args, out: raw.append(out))
    vae.decode(torch.randn(1, channels, 3, 4, 4))
    hook.remove()
    pixels = torch.cat(raw, dim=2)
    mean, std = pixels.mean(dim=(0, 2, 3, 4)), pixels.std(dim=(0, 2, 3, 4))
    last.weight.mul_((PIXEL_STD / std).view(-1, 1, 1, 1, 1))
    last.bias.sub_(mean).mul_(PIXEL_STD / std)
