"""What is no picture is told apart from what is dark, plain or slow."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipeline.errors import VideoFileError
from pipeline.quality.curves import trace
from pipeline.quality.health import Health, health
from tests.pipeline.quality.moving import FPS, moving_noise

SHAPE = (36, 64, 3)


def _health(frames: list[np.ndarray]) -> Health:
    return health(trace(frames, FPS))


def _solid(level: int) -> np.ndarray:
    return np.full(SHAPE, level, np.uint8)


def _night(rng: np.random.Generator) -> np.ndarray:
    """Nearly all black, with a few stars and a little grain."""
    frame = rng.integers(0, 4, SHAPE, np.uint8)
    frame[4, 10] = frame[9, 50] = frame[20, 33] = 120
    return frame


def test_black_grey_and_white_are_flat_and_only_black_is_black() -> None:
    frames = [*[_solid(0)] * 4, *[_solid(128)] * 3, *[_solid(255)] * 3]
    found = _health(frames)
    assert found.black_share == 0.4
    assert found.flat_share == 1.0
    assert found.saturated_share == 0.3
    assert found.frozen_share == pytest.approx(7 / 9)


def test_a_night_is_neither_black_nor_flat_nor_frozen() -> None:
    rng = np.random.default_rng(0)
    found = _health([_night(rng) for _ in range(20)])
    assert (found.black_share, found.flat_share, found.saturated_share) == (0.0, 0.0, 0.0)
    assert found.frozen_share == 0.0


def test_a_snowy_field_is_not_saturated() -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(225, 250, SHAPE, np.uint8) for _ in range(5)]
    assert _health(frames).saturated_share == 0.0


def test_overdriven_colours_are_saturated() -> None:
    rng = np.random.default_rng(2)
    frames = [(255 * rng.integers(0, 2, SHAPE)).astype(np.uint8) for _ in range(5)]
    found = _health(frames)
    assert found.saturated_share == 1.0
    assert found.black_share == 0.0


def test_one_moving_pixel_is_not_frozen() -> None:
    still = next(moving_noise(1))
    frames = [still.copy() for _ in range(40)]
    for index, frame in enumerate(frames):
        frame[3, index % 32] = 255 - frame[3, index % 32]
    assert _health(frames).frozen_share == 0.0
    assert _health([still] * 40).frozen_share == 1.0


def test_the_longest_standstill_and_the_largest_jump_are_found() -> None:
    frames = list(moving_noise(60, cuts=[30]))
    frames[41:49] = [frames[40]] * 8
    found = _health(frames)
    assert found.longest_frozen_s == 8 / FPS
    assert found.frozen_share == pytest.approx(8 / 59)
    assert found.largest_jump_s == 30 / FPS
    assert found.largest_jump == pytest.approx(10, rel=0.1)


def test_too_short_or_of_two_sizes_is_refused() -> None:
    with pytest.raises(VideoFileError, match="has 2 frames, expected at least 3"):
        trace([_solid(1), _solid(2)], FPS)
    with pytest.raises(VideoFileError, match=r"frame 1 is of shape \(2, 2, 3\)"):
        trace([_solid(1), _solid(1)[:2, :2]], FPS)


def test_memory_does_not_hold_the_video() -> None:
    """1,500 frames of 173 kB are 260 MB; what is kept of them is 2 MB, and work space."""
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (180, 320, 3), np.uint8) for _ in range(3)]
    tracemalloc.start()
    try:
        curves = trace((pictures[index % 3].copy() for index in range(1500)), FPS)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert curves.num_frames == 1500
    assert peak_bytes < 8 << 20
