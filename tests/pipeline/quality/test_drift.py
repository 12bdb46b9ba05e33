"""Drift that was planted comes out as it was put in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.quality.curves import trace
from pipeline.quality.drift import correlation_by_lag, drift, trend

FPS = 16.0
NUM_FRAMES = 640  # 40 s


def test_a_straight_line_has_its_own_slope() -> None:
    minutes = np.arange(NUM_FRAMES) / FPS / 60
    found = trend(3.0 + 7.5 * minutes, FPS)
    assert found.per_minute == pytest.approx(7.5, rel=1e-12)
    assert found.mean == pytest.approx(3.0 + 7.5 * minutes.mean(), rel=1e-12)
    # Quarters are three quarters of the video apart.
    assert found.first_to_last == pytest.approx(7.5 * 0.75 * 40 / 60, rel=1e-12)


def test_a_cosine_of_whole_periods_about_the_middle_has_none() -> None:
    frames = np.arange(NUM_FRAMES) - (NUM_FRAMES - 1) / 2
    found = trend(np.cos(2 * np.pi * frames / 64), FPS)
    assert abs(found.per_minute) < 1e-9


def _frames(lightness: np.ndarray, chroma: np.ndarray, contrast: np.ndarray) -> list[np.ndarray]:
    """Stripes of L* +- contrast in one hue, as bytes."""
    stripes = np.where(np.arange(64) // 8 % 2, 1.0, -1.0)
    frames = []
    for light, color, depth in zip(lightness, chroma, contrast, strict=True):
        lab = np.zeros((32, 64, 3), np.float32)
        lab[..., 0] = light + depth * stripes
        lab[..., 1], lab[..., 2] = 0.6 * color, 0.8 * color
        rgb = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
        frames.append(np.rint(255 * rgb).astype(np.uint8))
    return frames


def test_planted_drift_of_colour_is_recovered_from_bytes() -> None:
    minutes = np.arange(NUM_FRAMES) / FPS / 60
    frames = _frames(50 + 9 * minutes, 20 + 12 * minutes, 10 - 6 * minutes)
    found = drift(trace(frames, FPS))
    assert found.lightness.per_minute == pytest.approx(9, abs=0.1)
    assert found.saturation.per_minute == pytest.approx(12, abs=0.1)
    assert found.green_red.per_minute == pytest.approx(0.6 * 12, abs=0.1)
    assert found.blue_yellow.per_minute == pytest.approx(0.8 * 12, abs=0.1)
    assert found.contrast.per_minute == pytest.approx(-6, abs=0.1)
    assert found.lightness.mean == pytest.approx(50 + 9 * minutes.mean(), abs=0.1)
    # Half a minute from quarter to quarter, in L* and in chroma.
    assert found.color_distance == pytest.approx(np.hypot(9 / 2, 12 / 2), abs=0.1)
    # Detail's energy goes with the square of the contrast.
    assert found.sharpness.per_minute < -0.5


def test_a_scene_that_does_not_change_does_not_drift() -> None:
    steady = np.full(NUM_FRAMES, 1.0)
    found = drift(trace(_frames(50 * steady, 20 * steady, 10 * steady), FPS))
    assert {abs(t.per_minute) < 1e-9 for t in found.trends.values()} == {True}
    assert found.color_distance < 1e-9
    assert all(value == pytest.approx(1.0) for _, value in found.correlation)


def test_correlation_falls_as_the_pictures_own_does() -> None:
    """Thumbnails of an AR(1) process correlate by rho to the power of the lag."""
    rng = np.random.default_rng(0)
    rho, count = 0.95, 2000
    x = np.empty((count, 8, 8, 3), np.float32)
    x[0] = rng.standard_normal((8, 8, 3))
    for index in range(1, count):
        x[index] = rho * x[index - 1] + np.sqrt(1 - rho**2) * rng.standard_normal((8, 8, 3))
    found = dict(correlation_by_lag(x, 4.0))
    assert min(found) == 0.25
    assert max(found) == 375.0
    for lag_s, value in found.items():
        assert value == pytest.approx(rho ** (4 * lag_s), abs=0.05)


def test_flat_pictures_correlate_with_nothing() -> None:
    flat = np.full((10, 8, 8, 3), 0.5, np.float32)
    assert {value for _, value in correlation_by_lag(flat, 4.0)} == {0.0}
    assert correlation_by_lag(flat[:1], 4.0) == ()
