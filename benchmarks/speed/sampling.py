"""A few steps of one window, by stock diffusers and by us, from the same noise and prompts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from pipeline.solvers import SamplerOptions
from pipeline.spans import Span

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.speed.model import Model
    from pipeline.engines.wan.engine import WanEngine

PROMPT, NEGATIVE = "prompt", "negative prompt"
# The first step, in which kernels are chosen and blocks compiled, is told apart.
NUM_STEPS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What some steps took.

    Attributes:
        first_s: the first.
        step_s: the median of the others.
        peak_bytes: of the GPU's memory, weights and all; ``None`` without a GPU.
        latents_TCHW: where they led.
    """

    first_s: float
    step_s: float
    peak_bytes: int | None
    latents_TCHW: Tensor

    def relative_error(self, other: Steps) -> float:
        """How far apart both ended."""
        difference = (self.latents_TCHW - other.latents_TCHW).norm()
        return float(difference / other.latents_TCHW.norm())


def plan_of(model: Model, num_steps: int) -> VideoPlan:
    """One window, Euler's method, which both have."""
    spec = model.spec
    request = VideoSpec(
        id="speed",
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        seed=1,
        num_frames=model.num_frames,
        num_inference_steps=num_steps,
    )
    options = RenderOptions(sampler=SamplerOptions(solver="euler"))
    return plan_video(resolve(request, VideoDefaults(), spec), spec, options)


def ours(model: Model, engine: WanEngine, num_steps: int = NUM_STEPS) -> Steps:
    """As one actor does it, from noise on."""
    sampler = _sampler(model, engine, num_steps)
    _begin(model)
    times_s = []
    for _ in range(num_steps):
        started_s = time.perf_counter()
        sampler.advance([])  # ends with latents on the CPU: nothing is still under way
        times_s.append(time.perf_counter() - started_s)
    return _steps(model, times_s, sampler.latents(sampler.owned))


def stock(model: Model, transformer: Any, num_steps: int = NUM_STEPS) -> Steps:
    """``WanPipeline`` without text encoder and autoencoder, which a step does not need."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=model.flow_shift)
    pipeline = WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=scheduler, transformer=transformer
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = _sampler(model, None, num_steps)  # type: ignore[arg-type] # only draws noise
    noise_BCTHW = noise.latents(noise.owned).transpose(0, 1)[None]
    prompt_SD, negative_SD = (each_SD[None].to(model.device) for each_SD in model.prompt_embeds())
    times_s = [0.0]

    def on_step_end(_pipeline: Any, _step: int, _timestep: int, _tensors: Any) -> dict[str, Any]:
        _finish(model)
        times_s.append(time.perf_counter())
        return {}

    _begin(model)
    times_s[0] = time.perf_counter()
    latents_BCTHW = pipeline(
        prompt_embeds=prompt_SD,
        negative_prompt_embeds=negative_SD,
        height=model.height,
        width=model.width,
        num_frames=model.num_frames,
        num_inference_steps=num_steps,
        guidance_scale=model.guidance_scale,
        latents=noise_BCTHW.to(model.device),
        output_type="latent",
        callback_on_step_end=on_step_end,
    ).frames
    took_s = [after - before for before, after in pairwise(times_s)]
    return _steps(model, took_s, latents_BCTHW[0].transpose(0, 1).float().cpu())


def _sampler(model: Model, engine: WanEngine, num_steps: int) -> SegmentSampler:
    plan = plan_of(model, num_steps)
    partition = cut(plan.boundary, 1, num_steps)
    assert partition.owned(0, 0) == Span(0, model.window_latent_frames), "not one window"
    embeds = dict(zip((PROMPT, NEGATIVE), model.prompt_embeds(), strict=True))
    return SegmentSampler(plan, partition, 0, engine, embeds)


def _begin(model: Model) -> None:
    _finish(model)
    if model.device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _finish(model: Model) -> None:
    if model.device == "cuda":
        torch.cuda.synchronize()


def _steps(model: Model, times_s: list[float], latents_TCHW: Tensor) -> Steps:
    return Steps(
        first_s=times_s[0],
        step_s=median(times_s[1:]),
        peak_bytes=torch.cuda.max_memory_allocated() if model.device == "cuda" else None,
        latents_TCHW=latents_TCHW,
    )
