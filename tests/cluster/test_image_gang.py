"""A long video from an image, by a gang: the two experts of a tiny Wan 2.2."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline import reference
from pipeline.engines.registry import EngineOptions, load_engine
from pipeline.image import FittedImage
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, latents_of
from tests.plans import small_plan
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_200_latent_frames_from_an_image_go_through_a_gang(
    ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two experts, an image by channels in every window, the published solver."""
    folder = tmp_path_factory.mktemp("tiny-wan-i2v")
    make_tiny_wan(folder, window_latent_frames=21, layout="2.2-i2v")
    options = EngineOptions(name="wan", weights=str(folder), device="cpu")
    engine = load_engine(options)
    pixels = np.random.Generator(np.random.Philox(0)).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3))
    plan = small_plan(
        engine,
        1 + 4 * 199,
        solver="unipc",
        num_steps=3,
        guidance_scale=3.0,
        guidance_scale_2=2.0,
        width=WIDTH_PX,
        height=HEIGHT_PX,
        image=FittedImage("0", "exact", pixels.astype(np.uint8)),
        anchor="every_window",
    )
    assert plan.num_latent_frames == 200
    store = StoreConfig(uri=str(tmp_path_factory.mktemp("store")))
    with gang_of(2, store, options) as gang:
        take = gang.begin(plan)
        take.sample(Notes())
        assert take.partition.num_segments == 2
        latents_TCHW = latents_of(take)
    assert torch.equal(latents_TCHW, reference.sample(plan, engine))
