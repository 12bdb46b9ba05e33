"""The reference: one segment, one process, no cluster; every other way must equal its bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.join import Joiner
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.protocol import Engine, ImageEmbeds
    from pipeline.plan import VideoPlan


def encode_prompts(plan: VideoPlan, engine: Engine) -> dict[str, Tensor]:
    """Every prompt of a plan with its embedding ``[S, D]``."""
    return dict(zip(plan.prompts, engine.encode_prompts(plan.prompts), strict=True))


def encode_image(plan: VideoPlan, engine: Engine) -> ImageEmbeds | None:
    """What the engine makes of a plan's image, if there is one."""
    return None if plan.image is None else engine.encode_image(plan.image.pixels_HWC)


def sample(plan: VideoPlan, engine: Engine) -> Tensor:
    """A video's finished latents ``[T, C, H, W]``, sampled as one segment in this process."""
    partition = cut(plan.boundary, 1, plan.num_steps)
    prompts, image = encode_prompts(plan, engine), encode_image(plan, engine)
    sampler = SegmentSampler(plan, partition, 0, engine, prompts, image_embeds=image)
    while sampler.step < plan.num_steps:
        sampler.advance([])
    return Joiner(plan.boundary).push(sampler.latents(sampler.owned))
