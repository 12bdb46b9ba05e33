"""The four boundary modes on the oracle, judged by frames alone: what the closed form says of them.

``benchmarks/seams`` has the exact energies of the latents; here the decoded pictures are measured.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline import reference
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.quality.curves import trace
from pipeline.quality.joins import joins_of_plan
from pipeline.quality.measure import VideoQuality, assess
from tests.plans import small_plan

if TYPE_CHECKING:
    from pipeline.quality.effect import Effect

NUM_FRAMES = 1 + 4 * 120


MEASURES = ("frame_difference", "second_difference", "detail")


@cache
def measured(mode: str) -> VideoQuality:
    """30 s in windows of 21 latent frames, 20 steps."""
    engine = GaussianEngine(GaussianOptions(channels=4, window_latent_frames=21))
    plan = small_plan(engine, NUM_FRAMES, mode=mode, num_steps=20, width=128, height=64, events=())
    latents_TCHW = reference.sample(plan, engine)
    frames = (frame for run in engine.stream_decoder().push(latents_TCHW) for frame in run)
    return assess(trace(frames, plan.engine.fps), joins_of_plan(plan))


def effect(mode: str, name: str) -> Effect:
    found = measured(mode).seams.effects[name]
    assert found is not None
    return found


def test_halo_shows_no_joins() -> None:
    for name in MEASURES:
        assert effect("halo", name).is_within(0.92, 1.1), name
        assert not effect("halo", name).tells_a_seam, name
    assert not effect("halo", "periodicity").tells_a_seam


def test_windows_on_their_own_are_torn_as_much_as_the_closed_form_says() -> None:
    """``benchmarks/seams``: 6.46 times the median energy at the cuts."""
    found = effect("none", "frame_difference")
    assert found.low < 6.46 < found.high
    assert found.is_within(5, 8)
    assert effect("none", "second_difference").low > 1.5
    assert effect("none", "periodicity").low > 20


def test_a_cross_fade_is_weak_at_each_place_and_plain_when_folded() -> None:
    found = effect("decay", "frame_difference")
    assert found.is_within(0.8, 1.4)
    assert effect("decay", "periodicity").low > 3


def test_periodicity_ranks_the_modes() -> None:
    none, decay, halo = (effect(mode, "periodicity") for mode in ("none", "decay", "halo"))
    assert none.low > decay.high > decay.low > halo.high
