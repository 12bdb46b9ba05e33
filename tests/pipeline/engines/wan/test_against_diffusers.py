"""One window of ours against stock ``diffusers.WanPipeline``: same weights, noise and schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from pipeline.engines.protocol import NoiseLevel

if TYPE_CHECKING:
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline
    from torch import Tensor

    from pipeline.engines.wan.engine import WanEngine

PROMPT = "A red ball  rolls &amp; bounces\n over a green hill"
NEGATIVE = "blurry, worst quality"
STEPS = 4


def make_noise(engine: WanEngine, num_latent_frames: int, seed: int = 1) -> Tensor:
    shape = engine.spec.latent_shape(engine.spec.width, engine.spec.height)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_latent_frames, *shape, generator=generator)


def sample(engine: WanEngine, x_TCHW: Tensor, guidance_scale: float, shift: float) -> Tensor:
    """The plain loop: two predictions, guidance, one Euler step."""
    cond_SD, uncond_SD = engine.encode_prompts([PROMPT, NEGATIVE])
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(STEPS)
    for i, timestep in enumerate(scheduler.timesteps):
        level = NoiseLevel(float(scheduler.sigmas[i]), float(timestep))
        v_TCHW = engine.predict(x_TCHW, level, cond_SD)
        if guidance_scale > 1:
            uncond_TCHW = engine.predict(x_TCHW, level, uncond_SD)
            v_TCHW = uncond_TCHW + guidance_scale * (v_TCHW - uncond_TCHW)
        x_TCHW = x_TCHW + (scheduler.sigmas[i + 1] - scheduler.sigmas[i]) * v_TCHW
    return x_TCHW


def sample_stock(
    stock: WanPipeline,
    engine: WanEngine,
    x_TCHW: Tensor,
    *,
    guidance_scale: float,
    shift: float,
    output_type: str,
) -> Any:
    stock.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    frames = 1 + engine.spec.temporal_compression * (len(x_TCHW) - 1)
    return stock(
        PROMPT,
        NEGATIVE,
        height=engine.spec.height,
        width=engine.spec.width,
        num_frames=frames,
        num_inference_steps=STEPS,
        guidance_scale=guidance_scale,
        latents=x_TCHW.transpose(0, 1)[None].clone(),
        output_type=output_type,
        max_sequence_length=32,
    ).frames[0]


@pytest.mark.parametrize(("num_latent_frames", "guidance_scale", "shift"), [(9, 5, 5), (1, 1, 3)])
def test_latents_equal_the_stock_pipeline(
    engine: WanEngine,
    stock: WanPipeline,
    num_latent_frames: int,
    guidance_scale: float,
    shift: float,
) -> None:
    x_TCHW = make_noise(engine, num_latent_frames)
    ours = sample(engine, x_TCHW, guidance_scale, shift)
    theirs = sample_stock(
        stock, engine, x_TCHW, guidance_scale=guidance_scale, shift=shift, output_type="latent"
    ).transpose(0, 1)
    assert torch.equal(ours, theirs)
    assert (theirs - x_TCHW).norm() > 0.1 * x_TCHW.norm()


def test_frames_equal_the_stock_pipeline(engine: WanEngine, stock: WanPipeline) -> None:
    x_TCHW = make_noise(engine, 5)
    latents_TCHW = sample(engine, x_TCHW, 5.0, 5.0)
    ours = np.concatenate(list(engine.stream_decoder().push(latents_TCHW)))
    theirs = sample_stock(stock, engine, x_TCHW, guidance_scale=5.0, shift=5.0, output_type="pil")
    np.testing.assert_array_equal(ours, np.stack([np.asarray(image) for image in theirs]))
    assert ours.std() > 20


@torch.no_grad()
def test_prompts_equal_the_stock_pipeline(engine: WanEngine, stock: WanPipeline) -> None:
    prompts = [PROMPT, "", "\u2018caf\u00c3\u00a9\u2019 &lt;b&gt;", "word " * 60]
    for prompt, ours in zip(prompts, engine.encode_prompts(prompts), strict=True):
        theirs, _ = stock.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=32
        )
        assert torch.equal(ours, theirs[0])
