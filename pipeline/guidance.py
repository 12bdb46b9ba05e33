"""Classifier-free guidance (Ho & Salimans 2207.12598), in the order of diffusers' ``WanPipeline``.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engines.protocol import PairEngine
from pipeline.prompts import mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from pipeline.engines.protocol import Engine, NoiseLevel, WindowImage


def guided_velocity(
    engine: Engine,
    latents_TCHW: Tensor,
    level: NoiseLevel,
    *,
    shares: Sequence[tuple[str, float]],
    negative_prompt: str | None,
    guidance_scale: float,
    prompt_embeds: Mapping[str, Tensor],
    image: WindowImage | None = None,
) -> Tensor:
    """The velocity ``[T, C, H, W]`` of one window: ``uncond + scale (cond - uncond)``.

    Args:
        engine: predicts; called once, or twice when there is a ``negative_prompt``: but once for
            both if it is a ``PairEngine``.
        latents_TCHW: what the window sees; not written to.
        level: the noise level of all of it.
        shares: prompts and how much of each, as ``PromptTimeline.mixture`` gives them.
        negative_prompt: what to steer away from; ``None`` for no guidance.
        guidance_scale: how hard to steer.
        prompt_embeds: every prompt's ``[S, D]`` embedding.
        image: what the window is told of the video's image, with and without the prompt.
    """
    prompt_SD = mix(shares, prompt_embeds)
    if negative_prompt is None:
        return engine.predict(latents_TCHW, level, prompt_SD, image)
    negative_SD = prompt_embeds[negative_prompt]
    if isinstance(engine, PairEngine):
        pair = (prompt_SD, negative_SD)
        cond_TCHW, uncond_TCHW = engine.predict_pair(latents_TCHW, level, pair, image)
    else:
        cond_TCHW = engine.predict(latents_TCHW, level, prompt_SD, image)
        uncond_TCHW = engine.predict(latents_TCHW, level, negative_SD, image)
    return uncond_TCHW + guidance_scale * (cond_TCHW - uncond_TCHW)
