"""Write the model as a checkpoint folder that stock diffusers loads.

Weights are stored as half floats (they load as fp32), the text encoder as fp32: transformers would
otherwise hand it out in half precision. ``nightreel.json`` holds what diffusers' layout has no
place for.
"""

from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import ModelMixin, WanTransformer3DModel
    from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

    from jobs.embedded.latents import LatentStatistics
    from jobs.embedded.recipe import Recipe

# safetensors writes files that only their owner may read.
OPEN_TO_ALL = 0o644


def assemble(
    recipe: Recipe,
    *,
    vae: AutoencoderKLWan,
    statistics: LatentStatistics,
    transformer: WanTransformer3DModel,
    text_encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerFast,
) -> WanPipeline:
    """A pipeline over the given modules; the autoencoder is told how its latents lie."""
    vae.register_to_config(latents_mean=list(statistics.mean), latents_std=list(statistics.std))
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=recipe.sampler.flow_shift
    )
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=scheduler,
        transformer=transformer,
    )


def _halved(module: ModelMixin) -> ModelMixin:
    """A copy in half precision; parameter by parameter, since ``to`` warns of the norms."""
    half = copy.deepcopy(module)
    for parameter in half.parameters():
        parameter.data = parameter.data.to(torch.float16)
    return half


def write_halved(module: ModelMixin, folder: Path) -> None:
    """Write one part of a checkpoint in half precision, readable by everyone."""
    _halved(module).save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        weights.chmod(OPEN_TO_ALL)


def export(pipeline: WanPipeline, recipe: Recipe, folder: Path) -> None:
    """Write ``pipeline`` to ``folder``, in place of whatever was there."""
    if folder.exists():
        shutil.rmtree(folder)
    pipeline.save_pretrained(folder)
    for name, module in (("transformer", pipeline.transformer), ("vae", pipeline.vae)):
        write_halved(module, folder / name)
    geometry, sampler = recipe.geometry, recipe.sampler
    settings = {
        "window_latent_frames": geometry.window_latent_frames,
        "fps": geometry.fps,
        "width": geometry.width,
        "height": geometry.height,
        "num_inference_steps": sampler.num_inference_steps,
        "guidance_scale": sampler.guidance_scale,
        "flow_shift": sampler.flow_shift,
        "max_sequence_length": recipe.text.max_sequence_length,
    }
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(OPEN_TO_ALL)
    path = folder / "nightreel.json"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
