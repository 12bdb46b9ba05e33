"""Joins of known strength, planted in noise of known statistics."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.quality.curves import trace
from pipeline.quality.joins import Joins, joins_at
from pipeline.quality.measure import Seams, VideoQuality, assess, pooled, warp_frames
from tests.pipeline.quality.moving import (
    CUT_DIFFERENCE,
    CUT_SECOND_DIFFERENCE,
    FPS,
    RHO,
    RHYTHM,
    every,
    moving_noise,
)

NUM_FRAMES = 36 * 8 + 1
JOINS = every(36, NUM_FRAMES)


def assessed(frames: object, joins: Joins, *, warp: bool = False) -> VideoQuality:
    warp_at = warp_frames(joins) if warp else frozenset()
    return assess(trace(frames, FPS, warp_at), joins)  # type: ignore[arg-type]


def seams(joins: Joins = JOINS, **noise: object) -> Seams:
    frames = moving_noise(NUM_FRAMES, side_px=64, **noise)  # type: ignore[arg-type]
    return assessed(frames, joins).seams


def test_a_hard_cut_is_measured_at_its_closed_form() -> None:
    found = seams(cuts=JOINS.starts)
    assert found.frame_difference is not None
    assert found.second_difference is not None
    assert found.detail is not None
    assert found.periodicity is not None
    assert found.frame_difference.ratio == pytest.approx(CUT_DIFFERENCE, rel=0.03)
    assert found.second_difference.ratio == pytest.approx(CUT_SECOND_DIFFERENCE, rel=0.03)
    assert found.detail.ratio == pytest.approx(1.0, abs=0.03)
    assert found.frame_difference.low > 9
    assert found.periodicity.low > 1


def test_without_a_seam_every_interval_is_tight_about_1() -> None:
    found = seams()
    # Detail wanders with the process itself, differences average over its innovations.
    for name, width in (("frame_difference", 0.05), ("second_difference", 0.05), ("detail", 0.1)):
        effect = found.effects[name]
        assert effect is not None
        assert not effect.tells_a_seam, name
        assert effect.is_within(1 - width, 1 + width), name


def test_cuts_elsewhere_are_not_taken_for_joins() -> None:
    """Scene changes between the joins leave the ratios alone, if not their intervals."""
    found = seams(cuts=[start + 18 for start in JOINS.starts])
    assert found.frame_difference is not None
    assert found.frame_difference.is_within(0.9, 1.1)


def test_a_cross_fade_has_less_energy_and_less_detail_than_what_is_beside_it() -> None:
    fades = range(37, NUM_FRAMES - 16, 36)
    places = [tuple(range(start, start + 16, RHYTHM)) for start in fades]
    joins = joins_at(places, NUM_FRAMES, RHYTHM)
    found = seams(joins, fades=fades)
    shares = np.arange(5) / 4
    left, right = 1 - shares, shares
    detail = left**2 + right**2
    # Energies over 2 (1 - rho) at each step of the fade, for two processes with their own weights.
    steps = sum(
        weights[1:] ** 2 + weights[:-1] ** 2 - 2 * RHO * weights[1:] * weights[:-1]
        for weights in (left, right)
    ) / (2 * (1 - RHO))
    assert found.detail is not None
    assert found.frame_difference is not None
    assert found.detail.ratio == pytest.approx(np.exp(np.log(detail[1:]).mean()), rel=0.03)
    assert found.detail.high < 0.75
    assert found.frame_difference.ratio == pytest.approx(np.exp(np.log(steps).mean()), rel=0.03)


def test_the_inside_of_a_fade_moves_less() -> None:
    """Within each quarter of the ramp nothing is added, and averaging has taken energy away."""
    fades = range(37, NUM_FRAMES - 16, 36)
    middles = joins_at([(start + 5,) for start in fades], NUM_FRAMES, RHYTHM)
    found = seams(middles, fades=fades)
    assert found.frame_difference is not None
    assert found.frame_difference.high < 0.8


def test_a_rhythm_of_four_frames_is_no_seam() -> None:
    rhythm = (0.6, 0.9, 0.9, 0.97)  # frame 1, and so every join, moves most
    found = seams(rhos=rhythm)
    assert found.frame_difference is not None
    assert found.frame_difference.is_within(0.95, 1.05)
    naive = joins_at([(start,) for start in JOINS.starts], NUM_FRAMES, 1)
    fooled = seams(naive, rhos=rhythm).frame_difference
    assert fooled is not None
    assert fooled.low > 1.5


def test_motion_explains_a_pan_and_not_a_cut() -> None:
    """A picture that is panned over leaves little warp error; at a cut it leaves a lot."""
    rng = np.random.default_rng(5)
    pictures = [_smooth_picture(rng) for _ in range(len(JOINS) + 1)]

    def panned(cuts: tuple[int, ...]) -> list[np.ndarray]:
        shown = [sum(index >= cut for cut in cuts) for index in range(NUM_FRAMES)]
        # The picture is a torus: panning never reaches its end.
        return [np.roll(pictures[s], -2 * i, axis=1)[:, :96] for i, s in enumerate(shown)]

    still = assessed(panned(()), JOINS, warp=True).seams.warp_error
    cut = assessed(panned(JOINS.starts), JOINS, warp=True).seams.warp_error
    assert still is not None
    assert cut is not None
    assert still.low <= 1.05
    assert still.high >= 0.95
    assert cut.low > 10


def test_several_videos_are_held_together() -> None:
    clean = [assessed(moving_noise(NUM_FRAMES, seed=seed), JOINS) for seed in range(3)]
    ridden = [
        assessed(moving_noise(NUM_FRAMES, seed=seed, cuts=JOINS.starts), JOINS) for seed in range(3)
    ]
    together = pooled(clean).frame_difference
    apart = pooled(ridden).frame_difference
    assert together is not None
    assert apart is not None
    assert together.count == apart.count == 3
    assert together.is_within(0.9, 1.1)
    assert apart.low > 8
    unknown = assessed(moving_noise(20), Joins())
    assert unknown.seams == Seams()
    assert pooled([*clean, unknown]) == pooled(clean)


def test_the_same_video_gives_the_same_figures() -> None:
    first, second = (
        assessed(moving_noise(120, seed=6), every(36, 120), warp=True) for _ in range(2)
    )
    assert first == second


def _smooth_picture(rng: np.random.Generator) -> np.ndarray:
    """Large soft blobs on a torus of 64 x 256."""
    noise = np.fft.fft2(rng.standard_normal((64, 256, 3)), axes=(0, 1))
    y, x = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(256), indexing="ij")
    soft = np.exp(-((x**2 + y**2) * 400))[..., None]
    picture = np.fft.ifft2(noise * soft, axes=(0, 1)).real
    return np.clip(128 + 45 * picture / picture.std(), 0, 255).astype(np.uint8)
