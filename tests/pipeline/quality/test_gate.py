"""The gate refuses what went wrong in the making and passes what is only dark, slow or plain."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import ConfigError, QualityError
from pipeline.quality.curves import trace
from pipeline.quality.gate import QualityOptions, judge
from pipeline.quality.joins import Joins
from pipeline.quality.measure import VideoQuality, as_figures, assess
from tests.pipeline.quality.moving import FPS, every, moving_noise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.boundary import BoundaryModeName

SHAPE = (36, 64, 3)
NUM_FRAMES = 36 * 6 + 1
JOINS = every(36, NUM_FRAMES)


def _assessed(frames: Iterable[np.ndarray], joins: Joins | None = None) -> VideoQuality:
    joins = joins or Joins()
    return assess(trace(frames, FPS), joins)


def _refused(
    quality: VideoQuality,
    mode: BoundaryModeName = "halo",
    *,
    retimed: bool = False,
    **limits: float,
) -> QualityError | None:
    try:
        judge(quality, QualityOptions(**limits), mode, retimed=retimed)  # type: ignore[arg-type]
    except QualityError as error:
        return error
    return None


def _night(rng: np.random.Generator, index: int) -> np.ndarray:
    """Black sky, one star, grain that a codec has nearly killed: one pixel moves a frame."""
    frame = np.full(SHAPE, 2, np.uint8)
    frame[4, 10] = frame[20, 33] = frame[30, 60] = 90
    frame[rng.integers(36), index % 64] += 30
    return frame


def _still_life(rng: np.random.Generator) -> np.ndarray:
    """A picture in which a fiftieth of all pixels flickers by one level, and nothing else moves."""
    x = np.linspace(60, 180, 64)[None, :, None]
    return (x + (rng.random(SHAPE) < 0.02)).astype(np.uint8)


def _fog(rng: np.random.Generator) -> np.ndarray:
    """White on white: a gradient of six levels near the upper end."""
    return (np.linspace(244, 250, 36)[:, None, None] + rng.integers(0, 2, SHAPE)).astype(np.uint8)


def test_dark_slow_and_plain_scenes_pass() -> None:
    rng = np.random.default_rng(0)
    scenes = {
        "night": [_night(rng, index) for index in range(60)],
        "still life": [_still_life(rng) for _ in range(60)],
        "fog": [_fog(rng) for _ in range(60)],
        "fade in from black": [
            (_still_life(rng) * min(1.0, index / 40)).astype(np.uint8) for index in range(60)
        ],
        "cut to white": [*[_still_life(rng) for _ in range(40)], *[np.full(SHAPE, 255, np.uint8)]],
        "moving": list(moving_noise(60)),
    }
    for name, frames in scenes.items():
        assert _refused(_assessed(frames)) is None, name


@pytest.mark.parametrize(
    ("figure", "limit", "frame"),
    [
        ("black_share", "quality.max_black_share", np.zeros(SHAPE)),
        ("flat_share", "quality.max_flat_share", np.full(SHAPE, 128)),
        ("saturated_share", "quality.max_saturated_share", None),
    ],
)
def test_what_is_no_picture_is_refused_by_name(
    figure: str, limit: str, frame: np.ndarray | None
) -> None:
    rng = np.random.default_rng(1)
    burnt = (255 * rng.integers(0, 2, SHAPE)).astype(np.uint8)
    shown = burnt if frame is None else frame.astype(np.uint8)
    error = _refused(_assessed([shown] * 20))
    assert error is not None
    assert (error.figure, error.value, error.limit) == (figure, 1.0, limit)
    allowed = getattr(QualityOptions(), limit.removeprefix("quality."))
    assert str(error) == f"{figure} = 1: over {limit} = {allowed:g}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_frozen_video_is_refused_unless_frames_were_repeated_on_purpose() -> None:
    quality = _assessed([next(moving_noise(1))] * 60)
    error = _refused(quality)
    assert error is not None
    assert error.figure == "frozen_share"
    assert _refused(quality, retimed=True) is None


def test_half_a_video_that_overflowed_is_refused() -> None:
    frames = [*moving_noise(28), *[np.zeros((32, 32, 3), np.uint8)] * 32]
    error = _refused(_assessed(frames))
    assert error is not None
    assert error.figure == "flat_share"


def test_seams_are_refused_where_the_mode_promises_none() -> None:
    torn = _assessed(moving_noise(NUM_FRAMES, cuts=JOINS.starts), JOINS)
    for mode in ("halo", "consensus"):
        error = _refused(torn, mode)  # type: ignore[arg-type]
        assert error is not None
        assert error.figure == "frame_difference_at_joins"
        assert error.value > 8
    for mode in ("none", "decay"):
        assert _refused(torn, mode) is None  # type: ignore[arg-type]
    assert _refused(_assessed(moving_noise(NUM_FRAMES), JOINS)) is None


def test_one_join_proves_nothing() -> None:
    one = every(1000, 80)
    torn = _assessed(moving_noise(80, cuts=one.starts), one)
    assert torn.seams.frame_difference is not None
    assert torn.seams.frame_difference.ratio > 8
    assert _refused(torn) is None


def test_the_limit_itself_passes_and_the_gate_can_be_left_open() -> None:
    black = _assessed([np.zeros(SHAPE, np.uint8)] * 20)
    assert _refused(black, max_black_share=1, max_flat_share=1, max_frozen_share=1) is None
    assert _refused(black, gate=False) is None
    half = replace(black, health=replace(black.health, black_share=0.5, flat_share=0.5))
    assert _refused(half, max_black_share=0.5, max_frozen_share=1) is None


def test_the_ledger_s_figures_are_finite_numbers() -> None:
    one = every(1000, 80)
    figures = as_figures(_assessed(moving_noise(80, cuts=one.starts), one))
    assert figures["num_joins"] == 1.0
    assert figures["frame_difference_ratio"] > 8
    assert "frame_difference_high" not in figures  # one join has no interval
    assert {type(value) for value in figures.values()} == {float}
    assert np.isfinite(list(figures.values())).all()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_black_share", 1.5, "expected a share from 0 to 1"),
        ("max_frozen_share", float("nan"), "expected a share from 0 to 1"),
        ("max_join_ratio", 0.5, "expected a ratio of at least 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused(name: str, value: float, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"quality\.{name} = .*: {reason}"):
        QualityOptions(**{name: value})  # type: ignore[arg-type]
