"""Student's interval, and what a join is held against."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.quality.effect import join_effect, mean_effect, student_quantile
from pipeline.quality.fold import fold
from tests.pipeline.quality.moving import every

NUM_FRAMES = 36 * 16 + 1


def ar1(rho: float, rng: np.random.Generator, num_frames: int = NUM_FRAMES) -> np.ndarray:
    values = np.empty(num_frames)
    values[0] = rng.standard_normal()
    for index in range(1, num_frames):
        values[index] = rho * values[index - 1] + math.sqrt(1 - rho**2) * rng.standard_normal()
    return values


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.30265), (7, 2.36462), (30, 2.04227)]
)
def test_student_s_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_quantile(0.95, degrees) == pytest.approx(quantile, rel=1e-5)


def test_the_interval_of_two_values_by_hand() -> None:
    effect = mean_effect([math.log(2), math.log(8)])
    assert effect is not None
    assert effect.ratio == pytest.approx(4)
    # Standard error log(2): half of the difference of the two logarithms.
    assert math.log(effect.high / 4) == pytest.approx(12.7062 * math.log(2), rel=1e-5)
    assert effect.low * effect.high == pytest.approx(16)


def test_one_value_tells_a_ratio_and_no_interval() -> None:
    effect = mean_effect([math.log(3)])
    assert effect is not None
    assert (effect.low, effect.high) == (0.0, math.inf)
    assert not effect.tells_a_seam
    assert mean_effect([]) is None


def test_trend_and_rhythm_cancel_and_the_jump_is_what_is_left() -> None:
    frames = np.arange(NUM_FRAMES)
    joins = every(36, NUM_FRAMES)
    curve = 0.01 * frames + np.array([0.0, 1.0, -2.0, 0.5])[frames % 4]
    curve[list(joins.starts)] += math.log(1.25)
    effect = join_effect(curve, joins)
    assert effect is not None
    assert effect.ratio == pytest.approx(1.25)
    assert effect.high - effect.low < 1e-9
    assert effect.count == len(joins)


def test_frames_that_were_not_measured_do_not_count() -> None:
    joins = every(36, NUM_FRAMES)
    curve = np.full(NUM_FRAMES, np.nan)
    assert join_effect(curve, joins) is None
    join = joins.joins[3]
    curve[[*join.frames, join.before[0], join.after[1]]] = 1.0, 0.5, 0.5
    effect = join_effect(curve, joins)
    assert effect is not None
    assert (effect.ratio, effect.count) == (pytest.approx(math.exp(0.5)), 1)


def test_the_interval_covers_1_as_often_as_it_says() -> None:
    """A wandering curve without seams: 95 % of 300 intervals, give or take three sigma (3.8 %)."""
    rng = np.random.default_rng(1)
    joins = every(36, NUM_FRAMES)
    effects = [join_effect(ar1(0.9, rng), joins) for _ in range(300)]
    covered = sum(not effect.tells_a_seam for effect in effects if effect is not None)
    assert 0.91 <= covered / 300 <= 0.99


def test_folding_a_curve_without_seams_finds_them_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    joins = every(36, NUM_FRAMES)
    folds = [fold(ar1(0.8, rng), joins) for _ in range(60)]
    found = sum(found.p < 0.05 for found in folds if found is not None)
    assert found <= 8  # 3 expected, sigma 1.7


def test_folding_finds_what_is_too_weak_for_one_place() -> None:
    rng = np.random.default_rng(3)
    joins = every(36, NUM_FRAMES)
    curve = 0.3 * rng.standard_normal(NUM_FRAMES)
    weak = 0.25 * np.cos(2 * np.pi * (np.arange(NUM_FRAMES) - 37) / 36)
    found = fold(curve + weak, joins)
    assert found is not None
    assert found.p == 0.001
    assert found.effect.tells_a_seam
    assert (found.period_frames, found.num_rows) == (36, 15)
    # F's expectation is 1 plus rows times the ripple's variance over the noise's, by 35 columns of
    # 36 - 4 degrees: 1 + 15 * 0.25^2 / 2 / 0.3^2 * 36 / 32.
    assert found.f == pytest.approx(1 + 15 * 0.25**2 / 2 / 0.3**2 * 36 / 32, rel=0.3)


def test_folding_is_blind_to_the_rhythm_alone() -> None:
    rng = np.random.default_rng(4)
    curve = 0.1 * rng.standard_normal(NUM_FRAMES) + np.tile([0.0, 2.0, 1.0, -1.0], 145)[:NUM_FRAMES]
    found = fold(curve, every(36, NUM_FRAMES))
    assert found is not None
    assert found.p > 0.05


def test_too_few_or_crooked_joins_are_not_folded() -> None:
    curve = np.zeros(NUM_FRAMES)
    assert fold(curve, every(36, 100)) is None
    assert fold(curve, every(38, NUM_FRAMES)) is None
    assert fold(curve, every(8, NUM_FRAMES)) is None
