"""Long videos on a tiny random Wan: the ends of the grid, which the oracle is blind to.

The oracle is stationary: a window that is clamped or shortened answers as well as any other. A
network does not: it knows the places in its window apart.

Shape suffixes: T latent frames, C channels, H height, W width, S text tokens, D text width.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from safetensors.torch import load_file

from pipeline import reference
from pipeline.engines.registry import EngineOptions, load_engine
from pipeline.join import Joiner
from pipeline.noise import NoiseOptions, initial_noise
from pipeline.request import PromptEvent
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from pipeline.spans import Span
from tests.plans import MODES, sample_in_segments, small_plan
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.engines.protocol import (
        Engine,
        EngineSpec,
        ImageEmbeds,
        NoiseLevel,
        StreamDecoder,
        WindowImage,
    )
    from pipeline.plan import VideoPlan
    from pipeline.tiling import Tiling

WINDOW = 9
STEPS = 4
# 9 latent frames are one window; 40 are seven or eight.
ONE_WINDOW, LONG = 1 + 4 * (WINDOW - 1), 1 + 4 * 39


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_wan(tmp_path_factory.mktemp("tiny-wan"), window_latent_frames=WINDOW)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load_engine(EngineOptions(name="wan", weights=str(folder), device="cpu"))


def plan_of(engine: Engine, num_frames: int, **options: object) -> VideoPlan:
    settings = {"num_steps": STEPS, "width": WIDTH_PX, "height": HEIGHT_PX} | options
    return small_plan(engine, num_frames, **settings)  # type: ignore[arg-type]


class Watched:
    """An engine whose every prediction can be looked at and changed."""

    def __init__(self, engine: Engine, look: Callable[[NoiseLevel, Tensor], Tensor]) -> None:
        self._engine, self._look = engine, look

    @property
    def spec(self) -> EngineSpec:
        return self._engine.spec

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        return self._engine.encode_prompts(prompts)

    def encode_image(self, pixels_HWC: NDArray[np.uint8]) -> ImageEmbeds:
        return self._engine.encode_image(pixels_HWC)

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        velocity_TCHW = self._engine.predict(latents_TCHW, level, prompt_embeds_SD, image)
        return self._look(level, velocity_TCHW)

    def stream_decoder(self, tiling: Tiling | None = None) -> StreamDecoder:
        return self._engine.stream_decoder(tiling)


@pytest.mark.parametrize("mode", MODES)
def test_any_cut_in_any_order_gives_the_bits_of_the_reference(engine: Engine, mode: str) -> None:
    plan = plan_of(engine, LONG, mode=mode, shared_dc=0.2)
    expected = reference.sample(plan, engine)
    assert torch.isfinite(expected).all()
    for num_segments in (2, 3, 5):
        got = sample_in_segments(plan, engine, num_segments, random.Random(num_segments))
        assert torch.equal(got, expected)


@pytest.mark.parametrize(("num_frames", "guidance_scale"), [(ONE_WINDOW, 5.0), (ONE_WINDOW, 1.0)])
def test_one_window_gives_what_diffusers_own_pipeline_gives(
    folder: Path, engine: Engine, num_frames: int, guidance_scale: float
) -> None:
    plan = plan_of(engine, num_frames, solver="euler", guidance_scale=guidance_scale, events=())
    ours = reference.sample(plan, engine)

    transformer = WanTransformer3DModel.from_config(
        WanTransformer3DModel.load_config(folder / "transformer")
    ).eval()
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    transformer.load_state_dict(weights, strict=True)
    stock = WanPipeline.from_pretrained(folder, transformer=transformer, local_files_only=True)
    stock.set_progress_bar_config(disable=True)
    noise = initial_noise(
        plan.request.seed, range(plan.num_latent_frames), plan.latent_shape, NoiseOptions()
    )
    noise_TCHW = torch.stack(list(noise))
    theirs = stock(
        plan.request.prompt,
        plan.request.negative_prompt,
        height=plan.request.height,
        width=plan.request.width,
        num_frames=num_frames,
        num_inference_steps=STEPS,
        guidance_scale=guidance_scale,
        latents=noise_TCHW.transpose(0, 1)[None].clone(),
        output_type="latent",
        max_sequence_length=32,
    ).frames[0]
    theirs_TCHW = theirs.transpose(0, 1)
    assert (theirs_TCHW - noise_TCHW).norm() > 0.1 * noise_TCHW.norm()
    assert torch.equal(ours, theirs_TCHW)


@pytest.mark.parametrize("mode", MODES)
def test_a_video_of_one_window_is_that_window_whatever_the_mode(engine: Engine, mode: str) -> None:
    plan = plan_of(engine, ONE_WINDOW, mode=mode)
    lengths = []

    def look(level: NoiseLevel, velocity_TCHW: Tensor) -> Tensor:
        lengths.append(len(velocity_TCHW))
        return velocity_TCHW

    got = reference.sample(plan, Watched(engine, look))
    assert lengths == [WINDOW] * STEPS
    assert torch.equal(got, reference.sample(plan_of(engine, ONE_WINDOW), engine))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_latent_frames", [*range(WINDOW + 1, 2 * WINDOW + 2), 3, 1])
def test_the_model_always_sees_whole_windows_at_every_length(
    engine: Engine, mode: str, num_latent_frames: int
) -> None:
    plan = plan_of(engine, 1 + 4 * (num_latent_frames - 1), mode=mode, num_steps=3)
    lengths = set()

    def look(level: NoiseLevel, velocity_TCHW: Tensor) -> Tensor:
        lengths.add(len(velocity_TCHW))
        return velocity_TCHW

    got = reference.sample(plan, Watched(engine, look))
    assert lengths == {min(WINDOW, num_latent_frames)}
    assert len(got) == num_latent_frames
    assert torch.isfinite(got).all()


@pytest.mark.parametrize("mode", ["halo", "consensus"])
def test_windows_reach_from_the_first_latent_frame_to_the_last_at_every_step(
    engine: Engine, mode: str
) -> None:
    for num_latent_frames in range(WINDOW + 1, 60):
        plan = plan_of(engine, 1 + 4 * (num_latent_frames - 1), mode=mode, num_steps=20)
        for step in range(plan.num_steps):
            windows = plan.boundary.windows(step, Span(0, num_latent_frames))
            assert windows[0].span.start == windows[0].core.start == 0
            assert windows[-1].span.stop == windows[-1].core.stop == num_latent_frames
            assert all(len(window.span) == WINDOW for window in windows)
            assert all(window.core.start > window.span.start for window in windows[1:])


@pytest.mark.parametrize("mode", MODES)
def test_no_later_window_answers_for_what_it_takes_for_a_still_picture(
    engine: Engine, mode: str
) -> None:
    """A model takes position 0 of a window for a still picture; only the video's first is one.

    Where windows share latents every step is poisoned at that place; where each keeps its own
    copy, the place is read by the window's later steps, and only the last one can be.
    """
    plan = plan_of(engine, LONG, mode=mode, events=())
    shared = mode in {"halo", "consensus"}
    seen: set[float] = set()

    def poison(level: NoiseLevel, velocity_TCHW: Tensor) -> Tensor:
        is_first, is_last_step = level.sigma not in seen, level == plan.levels[-2]
        seen.add(level.sigma)
        if not is_first and (shared or is_last_step):
            velocity_TCHW[0] = 1e30
        return velocity_TCHW

    got = reference.sample(plan, Watched(engine, poison))
    assert torch.equal(got, reference.sample(plan, engine))


def sampled_from(plan: VideoPlan, engine: Engine, noise_TCHW: Tensor) -> Tensor:
    sampler = SegmentSampler(
        plan, cut(plan.boundary, 1, 1), 0, engine, reference.encode_prompts(plan, engine)
    )
    sampler.restore(0, noise_TCHW.clone(), None)
    sampler.advance([])
    return Joiner(plan.boundary).push(sampler.latents(sampler.owned))


def changed(before: Tensor, after: Tensor) -> list[int]:
    """The latent frames in which two videos differ."""
    return [k for k in range(len(before)) if not torch.equal(before[k], after[k])]


@pytest.mark.parametrize("place", [0, 1, 5, 17, 20, 38, 39])
def test_a_step_changes_what_sees_a_latent_frame_and_nothing_else(
    engine: Engine, place: int
) -> None:
    plan = plan_of(engine, LONG, num_steps=1)
    shape = (plan.num_latent_frames, *plan.latent_shape)
    noise_TCHW = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    other_TCHW = noise_TCHW.clone()
    other_TCHW[place] += 1.0
    before, after = (sampled_from(plan, engine, noise) for noise in (noise_TCHW, other_TCHW))
    windows = plan.boundary.windows(0, Span(0, plan.num_latent_frames))
    reached = {
        frame
        for window in windows
        if window.span.start <= place < window.span.stop
        for frame in window.core
    }
    changed = {
        frame for frame in range(len(before)) if not torch.equal(before[frame], after[frame])
    }
    assert changed == reached
    assert place in changed


def test_prompts_over_time_reach_the_windows_of_their_time(engine: Engine) -> None:
    """Another event at 6 s changes nothing before the windows that hold 6 s, in one step."""
    night, day = (
        plan_of(engine, LONG, num_steps=1, events=(PromptEvent(6.0, text),))
        for text in ("then night", "then day")
    )
    before, after = (reference.sample(plan, engine) for plan in (night, day))
    changed = [
        frame for frame in range(len(before)) if not torch.equal(before[frame], after[frame])
    ]
    assert changed
    assert changed[-1] == len(before) - 1
    first_s = 4 * changed[0] / engine.spec.fps
    assert 6.0 - 2 * WINDOW * 4 / engine.spec.fps < first_s <= 6.0 + WINDOW * 4 / engine.spec.fps
