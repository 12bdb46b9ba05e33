"""Look at the model: clips rendered by stock ``WanPipeline`` from held-out captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from jobs.embedded.footage import held_out_scenes
from jobs.embedded.pictures import save_grid
from pipeline.world import plain_caption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import WanPipeline
    from numpy.typing import NDArray

    from jobs.embedded.recipe import Recipe

FRAMES_PER_ROW = 6


def render_clip(pipeline: WanPipeline, recipe: Recipe, prompt: str, seed: int) -> NDArray[np.uint8]:
    """One window's worth of frames, ``[F, H, W, 3]``, with the recipe's sampler settings."""
    geometry, sampler = recipe.geometry, recipe.sampler
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        prompt=prompt,
        negative_prompt="",
        height=geometry.height,
        width=geometry.width,
        num_frames=geometry.window_frames,
        num_inference_steps=sampler.num_inference_steps,
        guidance_scale=sampler.guidance_scale,
        max_sequence_length=recipe.text.max_sequence_length,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).frames[0]
    clip: NDArray[np.uint8] = (np.asarray(frames) * 255.0).round().astype(np.uint8)
    return clip


def held_out_prompts(count: int) -> list[str]:
    """Plain captions of scenes that were never trained on."""
    return [plain_caption(scene) for scene in held_out_scenes(count, clear=False)]


def save_samples(pipeline: WanPipeline, recipe: Recipe, prompts: Sequence[str], path: Path) -> None:
    """Write one row of frames per prompt, evenly spread over its clip, to ``path``."""
    rows = []
    for seed, prompt in enumerate(prompts):
        clip = render_clip(pipeline, recipe, prompt, seed)
        picked = np.linspace(0, len(clip) - 1, FRAMES_PER_ROW).round().astype(int)
        rows.append([*clip[picked]])
    save_grid(rows, path)
