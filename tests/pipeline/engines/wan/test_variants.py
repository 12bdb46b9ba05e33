"""One window of every published model against the stock pipeline of diffusers.

The same weights, noise, schedule, prompts, negative prompts, guidance and image; fp32 on the CPU.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from PIL import Image

from pipeline import reference
from pipeline.engines.protocol import ImageEmbeds, WindowImage
from pipeline.engines.wan.engine import WanEngine
from pipeline.image import FittedImage
from pipeline.noise import NoiseOptions, initial_noise
from tests.pipeline.engines.wan.inside import transformer_of
from tests.plans import small_plan
from tests.tiny_wan import LAYOUTS, make_tiny_wan, text_tokens, tiny_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from pipeline.plan import VideoPlan

STEPS = 4
WINDOW_FRAMES = 33
NEGATIVE = "blurry, worst quality, still picture"
WITH_IMAGE = {"2.2-5b", "2.1-i2v", "2.2-i2v"}
EXPERTS = {"2.2-a14b", "2.2-i2v"}
CASES = [*((layout, layout in {"2.1-i2v", "2.2-i2v"}) for layout in LAYOUTS), ("2.2-5b", True)]
MAX_RELATIVE_ERROR = 1e-4


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WanEngine]:
    root = tmp_path_factory.mktemp("variants")
    return {layout: load(make_tiny_wan(root / layout, layout=layout)) for layout in LAYOUTS}


def load(folder: Path) -> WanEngine:
    return WanEngine.load(folder, device="cpu", dtype=torch.float32)


def picture(engine: WanEngine, seed: int = 0) -> FittedImage:
    size = (engine.spec.height, engine.spec.width, 3)
    generator = np.random.Generator(np.random.Philox(seed))
    return FittedImage(f"{seed}", "exact", generator.integers(0, 256, size, dtype=np.uint8))


def plan_of(engine: WanEngine, layout: str, *, with_image: bool, **options: Any) -> VideoPlan:
    return small_plan(
        engine,
        WINDOW_FRAMES,
        num_steps=STEPS,
        width=engine.spec.width,
        height=engine.spec.height,
        guidance_scale=4.0,
        guidance_scale_2=2.5 if layout in EXPERTS else None,
        negative_prompt=NEGATIVE,
        events=(),
        image=picture(engine) if with_image else None,
        **options,
    )


def noise_of(plan: VideoPlan) -> Tensor:
    frames = range(plan.num_latent_frames)
    noise = initial_noise(plan.request.seed, frames, plan.latent_shape, NoiseOptions())
    return torch.stack(list(noise))


def stock_latents(plan: VideoPlan, layout: str) -> Tensor:
    """The finished latents ``[T, C, H, W]`` of the stock pipeline."""
    stock = tiny_pipeline(layout)
    if plan.image is not None and not isinstance(stock, WanImageToVideoPipeline):
        stock = WanImageToVideoPipeline(**stock.components, expand_timesteps=True)
    if plan.options.sampler.solver == "unipc":
        stock.scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        )
    stock.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {}
    if layout in EXPERTS:
        options["guidance_scale_2"] = plan.request.guidance_scale_2
    if plan.image is not None:
        options["image"] = Image.fromarray(plan.image.pixels_HWC)
    latents = stock(
        prompt=plan.request.prompt,
        negative_prompt=plan.request.negative_prompt,
        height=plan.request.height,
        width=plan.request.width,
        num_frames=WINDOW_FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=plan.request.guidance_scale,
        latents=noise_of(plan).transpose(0, 1)[None].clone(),
        output_type="latent",
        max_sequence_length=text_tokens(layout),
        **options,
    ).frames[0]
    latents_TCHW: Tensor = latents.transpose(0, 1)
    return latents_TCHW


@pytest.mark.parametrize("solver", ["euler", "unipc"])
@pytest.mark.parametrize(("layout", "with_image"), CASES)
def test_one_window_is_that_of_the_stock_pipeline(
    engines: dict[str, WanEngine], layout: str, with_image: bool, solver: str
) -> None:
    engine = engines[layout]
    plan = plan_of(engine, layout, with_image=with_image, solver=solver)
    ours, theirs = reference.sample(plan, engine), stock_latents(plan, layout)
    assert (theirs - noise_of(plan)).norm() > 0.1 * theirs.norm()
    error = float((ours - theirs).norm() / theirs.norm())
    print(f"{layout}, {'image' if with_image else 'text'} to video, {solver}: {error:.1e}")
    assert error < MAX_RELATIVE_ERROR


@pytest.mark.parametrize("layout", sorted(EXPERTS))
def test_each_expert_and_each_scale_has_its_steps(
    engines: dict[str, WanEngine], layout: str
) -> None:
    """At shift 5 four steps have two levels above 0.875 and two below."""
    engine = engines[layout]
    plan = plan_of(engine, layout, with_image=layout in WITH_IMAGE)
    assert engine.spec.boundary_timestep == 875.0
    assert [plan.guidance_scale_at(step) for step in range(STEPS)] == [4.0, 4.0, 2.5, 2.5]
    asked: list[bool] = []
    for is_first in (True, False):
        expert = transformer_of(engine, is_first=is_first)
        expert.register_forward_pre_hook(lambda *_, is_first=is_first: asked.append(is_first))
    reference.sample(plan, engine)
    assert asked == [True] * 4 + [False] * 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_negative_prompt_is_steered_away_from(engines: dict[str, WanEngine], layout: str) -> None:
    engine = engines[layout]
    plan = plan_of(engine, layout, with_image=layout in {"2.1-i2v", "2.2-i2v"})
    other = replace(plan, request=replace(plan.request, negative_prompt="rain on the city"))
    before, after = (reference.sample(each, engine) for each in (plan, other))
    assert (after - before).norm() > 1e-3 * before.norm()


@pytest.mark.parametrize("layout", sorted(WITH_IMAGE))
def test_all_that_is_known_of_an_image_reaches_the_window(
    engines: dict[str, WanEngine], layout: str
) -> None:
    engine = engines[layout]
    plan = plan_of(engine, layout, with_image=True)
    assert plan.image is not None
    embeds = engine.encode_image(plan.image.pixels_HWC)
    (prompt_SD,) = engine.encode_prompts(["a fox"])
    noise_TCHW, level = noise_of(plan), plan.levels[0]

    def predicted(embeds: ImageEmbeds, *, at_start: bool = True) -> Tensor:
        return engine.predict(noise_TCHW, level, prompt_SD, WindowImage(embeds, at_start))

    base = predicted(embeds)
    others = {"its place": predicted(embeds, at_start=False)}
    if engine.spec.image == "channels":
        others["latents"] = predicted(replace(embeds, latents_TCHW=-embeds.latents_TCHW))
    if embeds.embeds_SD is not None:
        others["CLIP"] = predicted(replace(embeds, embeds_SD=-embeds.embeds_SD))
    for what, velocity in others.items():
        assert (velocity - base).norm() > 1e-4 * base.norm(), what
