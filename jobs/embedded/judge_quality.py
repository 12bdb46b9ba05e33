"""How good the judge is: held-out scenes, as rendered and as an autoencoder hands them on.

Shapes: F frames, H rows, W columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from jobs.embedded.clips import clip_times
from jobs.embedded.footage import HELD_OUT, to_bytes, to_pixels
from jobs.embedded.tally import AttributeTally, tally_attribute
from pipeline.world import render, sample_scene

if TYPE_CHECKING:
    import numpy as np
    from diffusers import AutoencoderKLWan
    from numpy.typing import NDArray

    from jobs.embedded.recipe import Geometry
    from pipeline.world.judge import Judge


def judge_quality(
    judge: Judge, geometry: Geometry, scenes: int, vae: AutoencoderKLWan | None = None
) -> list[AttributeTally]:
    """Right answers of ``judge`` on window-long clips of ``scenes`` held-out scenes.

    Args:
        judge: who looks.
        geometry: of the clips.
        scenes: how many.
        vae: if given, the clips are encoded and decoded before the judge sees them.
    """
    pairs: dict[str, list[tuple[str, str]]] = {name: [] for name in judge.shape.attributes}
    for seed in range(HELD_OUT, HELD_OUT + scenes):
        scene = sample_scene(seed)
        times = clip_times(seed, geometry.window_frames, geometry.fps)
        frames = render(scene, times, geometry.height, geometry.width)
        if vae is not None:
            frames = _through(vae, frames)
        for name, answer in judge.judge(frames, geometry.fps).items():
            pairs[name].append((getattr(scene, name), answer.value))
    tallies = (tally_attribute(name, found) for name, found in pairs.items())
    return [one for one in tallies if one is not None]


def _through(vae: AutoencoderKLWan, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``frames`` encoded and decoded."""
    with torch.no_grad():
        latents = vae.encode(to_pixels(frames)[None]).latent_dist.mean
        return to_bytes(vae.decode(latents).sample[0])
