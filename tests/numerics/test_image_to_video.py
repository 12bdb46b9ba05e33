"""Long videos from an image, on tiny random Wans: what is shown, to whom, and what becomes of it.

Shape suffixes: T latent frames, C channels, H height, W width, S tokens, D their width.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from pipeline import reference
from pipeline.engines.protocol import ImageEmbeds, NoiseLevel, WindowImage
from pipeline.engines.registry import EngineOptions, load_engine
from pipeline.image import FittedImage
from pipeline.image_guide import ImageGuide
from pipeline.segments import max_segments
from pipeline.spans import Span
from tests.plans import sample_in_segments, small_plan
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.protocol import Engine
    from pipeline.plan import VideoPlan

WINDOW = 9
# 24 latent frames in windows of 9: four or five windows a step.
LONG = 1 + 4 * 23
LAYOUTS = ("2.2-5b", "2.1-i2v", "2.2-i2v")
ANCHORS = ("first_frame", "every_window")


@pytest.fixture(scope="module", params=LAYOUTS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("tiny-wan") / request.param
    make_tiny_wan(folder, window_latent_frames=WINDOW, layout=request.param)
    return load_engine(EngineOptions(name="wan", weights=str(folder), device="cpu"))


def picture(engine: Engine, seed: int = 0) -> FittedImage:
    size = (engine.spec.height, engine.spec.width, 3)
    generator = np.random.Generator(np.random.Philox(seed))
    return FittedImage(f"{seed}", "exact", generator.integers(0, 256, size, dtype=np.uint8))


def plan_of(engine: Engine, num_frames: int = LONG, **options: Any) -> VideoPlan:
    two = engine.spec.boundary_timestep is not None
    settings = {
        "num_steps": 3,
        "width": engine.spec.width,
        "height": engine.spec.height,
        "guidance_scale": 3.0,
        "guidance_scale_2": 2.0 if two else None,
        "image": picture(engine),
    }
    return small_plan(engine, num_frames, **(settings | options))


class Seen:
    """An engine that writes down what its windows are shown, and may be disturbed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.spec, self.encode_prompts = engine.spec, engine.encode_prompts
        self.encode_image, self.stream_decoder = engine.encode_image, engine.stream_decoder
        self.images: list[WindowImage | None] = []
        self.calls: dict[float, int] = {}
        self.poison: float | None = None

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        self.images.append(image)
        self.calls[level.timestep] = self.calls.get(level.timestep, 0) + 1
        velocity_TCHW = self._engine.predict(latents_TCHW, level, prompt_embeds_SD, image)
        is_later = self.calls[level.timestep] > 2  # the first window's, with and without prompt
        if self.poison is not None and is_later:
            velocity_TCHW[0] = self.poison
        return velocity_TCHW


@pytest.mark.parametrize(("anchor", "solver"), [("first_frame", "unipc"), ("every_window", "ab2")])
def test_any_cut_gives_the_bits_of_the_reference(engine: Engine, anchor: str, solver: str) -> None:
    plan = plan_of(engine, anchor=anchor, solver=solver)
    expected = reference.sample(plan, engine)
    assert torch.isfinite(expected).all()
    got = sample_in_segments(plan, engine, 3, random.Random(0))
    assert torch.equal(got, expected)


@pytest.mark.slow
def test_five_segments_give_the_bits_of_the_reference(engine: Engine) -> None:
    plan = plan_of(engine, 1 + 4 * 47, anchor="every_window", solver="unipc")
    assert max_segments(plan.boundary) >= 5
    expected = reference.sample(plan, engine)
    for num_segments in (2, 3, 5):
        got = sample_in_segments(plan, engine, num_segments, random.Random(num_segments))
        assert torch.equal(got, expected)


@pytest.mark.parametrize("anchor", ANCHORS)
def test_each_window_is_told_what_it_may_know(engine: Engine, anchor: str) -> None:
    seen = Seen(engine)
    plan = plan_of(engine, anchor=anchor, num_steps=1, guidance_scale=1.0)
    reference.sample(plan, seen)
    first, *later = seen.images
    assert first is not None
    assert first.at_start
    for image in later:
        if anchor == "every_window":
            assert image is not None
            assert image.at_start
        elif engine.spec.image == "channels":
            assert image is not None
            assert not image.at_start
            assert (image.embeds.embeds_SD is None) == (first.embeds.embeds_SD is None)
        else:
            assert image is None


def test_a_video_begins_with_its_image(engine: Engine) -> None:
    """TI2V leaves it as the autoencoder has it; models with channels find their own way there."""
    plan = plan_of(engine)
    latents_TCHW = reference.sample(plan, engine)
    assert plan.image is not None
    embeds = engine.encode_image(plan.image.pixels_HWC)
    if engine.spec.image == "first_frame":
        assert torch.equal(latents_TCHW[0], embeds.latents_TCHW[0])
        assert len(embeds.latents_TCHW) == 1
    else:
        assert not torch.equal(latents_TCHW[0], embeds.latents_TCHW[0])
        assert len(embeds.latents_TCHW) == WINDOW


def test_another_image_changes_the_first_windows_alone_unless_it_anchors_all(
    engine: Engine,
) -> None:
    changed = {}
    for anchor in ANCHORS:
        plan = plan_of(engine, anchor=anchor, num_steps=1)
        assert plan.request.image is not None
        other = picture(engine, 1)
        request = replace(plan.request, image=replace(plan.request.image, digest=other.digest))
        before = reference.sample(plan, engine)
        after = reference.sample(replace(plan, request=request, image=other), engine)
        changed[anchor] = [k for k in range(len(before)) if not torch.equal(before[k], after[k])]
    core = plan.boundary.windows(0, Span(0, plan.num_latent_frames))[0].core
    everywhere = list(range(plan.num_latent_frames))
    assert changed["every_window"] == everywhere
    # CLIP speaks to every window; the latents of a model with channels are alike but for position 0
    # and what the autoencoder still remembers of the image.
    if engine.spec.image == "first_frame":
        assert changed["first_frame"] == list(core)
    assert set(core) <= set(changed["first_frame"])


@pytest.mark.parametrize("mode", ["halo", "consensus", "none"])
def test_what_stands_in_the_anchor_s_place_is_never_shown(engine: Engine, mode: str) -> None:
    """Poison what later windows answer there: no latent of the video changes."""
    plan = plan_of(engine, anchor="every_window", num_steps=2, mode=mode)
    expected = reference.sample(plan, engine)

    seen = Seen(engine)
    seen.poison = 1e30
    assert torch.equal(reference.sample(plan, seen), expected)


def test_an_anchor_bears_the_noise_level_of_its_window_where_the_model_expects_it(
    engine: Engine,
) -> None:
    plan = plan_of(engine, anchor="every_window")
    image_TCHW = torch.randn(WINDOW, *plan.latent_shape)
    guide = ImageGuide(plan, ImageEmbeds(image_TCHW))
    window_TCHW = torch.randn(WINDOW, *plan.latent_shape)
    before = window_TCHW.clone()
    level = NoiseLevel(sigma=0.25, timestep=250.0)
    seen_TCHW, image = guide.seen_by(7, window_TCHW, level)
    assert image is not None
    assert torch.equal(window_TCHW, before)
    assert torch.equal(seen_TCHW[1:], window_TCHW[1:])
    if engine.spec.image == "first_frame":
        assert torch.equal(seen_TCHW[0], image_TCHW[0])
    else:
        noise_CHW = (seen_TCHW[0] - 0.75 * image_TCHW[0]) / 0.25
        assert abs(float(noise_CHW.mean())) < 0.2
        assert float(noise_CHW.std()) == pytest.approx(1.0, abs=0.15)
        clean_TCHW, _ = guide.seen_by(7, window_TCHW, NoiseLevel(0.0, 0.0))
        assert torch.allclose(clean_TCHW[0], image_TCHW[0])
