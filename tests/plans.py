"""Small plans for tests, and a gang without Ray that runs its segments in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from pipeline import reference
from pipeline.boundary import BoundaryOptions
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.join import Joiner
from pipeline.message import BoundaryMessage
from pipeline.noise import NoiseOptions
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import PromptEvent, RequestedImage, VideoDefaults, VideoSpec, resolve
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from pipeline.solvers import SamplerOptions

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from pipeline.engines.protocol import Engine
    from pipeline.image import FittedImage

MODES = ("halo", "consensus", "decay", "none")


def small_gaussian(window_latent_frames: int = 9, **options: Any) -> GaussianEngine:
    return GaussianEngine(
        GaussianOptions(channels=4, window_latent_frames=window_latent_frames, **options)
    )


def small_plan(
    engine: Engine,
    num_frames: int,
    *,
    mode: str = "halo",
    shared_dc: float = 0.0,
    solver: str = "ab2",
    num_steps: int = 6,
    guidance_scale: float = 1.0,
    width: int = 32,
    height: int = 16,
    overlap_frames: int = 16,
    events: tuple[PromptEvent, ...] = (PromptEvent(1.5, "then night"),),
    guidance_scale_2: float | None = None,
    negative_prompt: str | None = None,
    image: FittedImage | None = None,
    anchor: str = "first_frame",
) -> VideoPlan:
    spec = VideoSpec(
        id="clip",
        prompt="a meadow",
        events=events,
        num_frames=num_frames,
        width=width,
        height=height,
        num_inference_steps=num_steps,
        guidance_scale=guidance_scale,
        guidance_scale_2=guidance_scale_2,
        negative_prompt=negative_prompt,
        image=None if image is None else "image.png",
    )
    options = RenderOptions(
        boundary=BoundaryOptions(mode=mode, overlap_frames=overlap_frames),  # type: ignore[arg-type]
        noise=NoiseOptions(shared_dc=shared_dc),
        sampler=SamplerOptions(solver=solver),  # type: ignore[arg-type]
    )
    request = resolve(spec, VideoDefaults(), engine.spec)
    if image is not None:
        requested = RequestedImage(
            digest=image.digest,
            fit=image.fitted_by,
            anchor=anchor,  # type: ignore[arg-type]
        )
        request = replace(request, image=requested)
    return plan_video(request, engine.spec, options, image)


def sample_in_segments(
    plan: VideoPlan,
    engine: Engine,
    num_segments: int,
    rng: random.Random,
    *,
    before_step: Callable[[list[SegmentSampler]], None] | None = None,
) -> torch.Tensor:
    """Sample as a gang would, advancing any segment whose boundaries are there, in random order."""
    partition = cut(plan.boundary, num_segments, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    image = reference.encode_image(plan, engine)
    samplers = [
        SegmentSampler(plan, partition, segment, engine, embeds, image_embeds=image)
        for segment in range(partition.num_segments)
    ]
    mail: dict[tuple[int, int, int], Any] = {}

    def has_mail(sampler: SegmentSampler) -> bool:
        wanted = [(other, sampler.segment, sampler.step) for other in sampler.neighbours]
        return sampler.step == 0 or all(key in mail for key in wanted)

    while any(sampler.step < plan.num_steps for sampler in samplers):
        if before_step is not None:
            before_step(samplers)
        ready = [s for s in samplers if s.step < plan.num_steps and has_mail(s)]
        sampler = rng.choice(ready)
        wanted = [(other, sampler.segment, sampler.step) for other in sampler.neighbours]
        messages = [mail.pop(key) for key in wanted] if sampler.step else []
        for message in map(BoundaryMessage.copied, sampler.advance(messages)):
            for array in message.arrays:
                array.flags.writeable = False
            mail[message.sender, message.receiver, message.step] = message
    joiner = Joiner(plan.boundary)
    return torch.cat([joiner.push(sampler.latents(sampler.owned)) for sampler in samplers])
