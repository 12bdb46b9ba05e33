"""The gang's bits again, with a neural network: a tiny random Wan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pipeline import reference
from pipeline.engines.registry import EngineOptions, load_engine
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, latents_of, processes
from tests.plans import small_plan
from tests.tiny_wan import HEIGHT_PX, WIDTH_PX, make_tiny_wan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.gang import Gang
    from actors.step_report import StepReport
    from pipeline.engines.protocol import Engine

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# 58 latent frames in windows of 9: eleven or twelve windows a step.
LONG = 229


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> EngineOptions:
    folder = make_tiny_wan(tmp_path_factory.mktemp("tiny-wan"), window_latent_frames=9)
    return EngineOptions(name="wan", weights=str(folder), device="cpu")


@pytest.fixture(scope="module")
def engine(options: EngineOptions) -> Engine:
    return load_engine(options)


# Each actor imports diffusers and transformers: two more are worth half a minute.
@pytest.fixture(scope="module", params=[3, pytest.param(5, marks=pytest.mark.longest)])
def gang(
    request: pytest.FixtureRequest,
    ray_cluster: None,
    options: EngineOptions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gang]:
    store = StoreConfig(uri=str(tmp_path_factory.mktemp("store")))
    with gang_of(request.param, store, options) as gang:
        yield gang


@pytest.mark.parametrize("mode", ["halo", pytest.param("decay", marks=pytest.mark.longest)])
def test_1_2_3_and_5_segments_give_the_bits_of_the_reference(
    gang: Gang, engine: Engine, mode: str
) -> None:
    plan = small_plan(
        engine,
        LONG,
        mode=mode,
        num_steps=3,
        guidance_scale=2.0,
        shared_dc=0.2,
        width=WIDTH_PX,
        height=HEIGHT_PX,
    )
    expected = reference.sample(plan, engine)
    assert torch.isfinite(expected).all()
    for num_segments in {3: (1, 2, 3), 5: (5,)}[len(gang)]:
        take = gang.begin(plan, max_segments=num_segments)
        take.sample(Notes())
        assert take.partition.num_segments == num_segments
        assert torch.equal(latents_of(take), expected)


@pytest.mark.parametrize("gang", [3], indirect=True)
def test_a_network_s_actor_killed_in_mid_video_costs_not_a_bit(gang: Gang, engine: Engine) -> None:
    plan = small_plan(
        engine, LONG, num_steps=3, guidance_scale=2.0, width=WIDTH_PX, height=HEIGHT_PX
    )
    victim = processes(gang)[1]

    def kill(report: StepReport) -> None:
        if (report.segment, report.step) == (1, 1):
            victim.kill()

    take = gang.begin(plan)
    take.sample(Notes(on_report=kill))
    assert not victim.is_running()
    assert gang.losses.deaths == 1
    assert torch.equal(latents_of(take), reference.sample(plan, engine))
