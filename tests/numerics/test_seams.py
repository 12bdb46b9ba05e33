"""Seams of the oracle's videos, from their exact covariance (see ``benchmarks/seams``)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.seams.closed_form import Setting, video_covariance
from benchmarks.seams.measures import Seams, measure, target_correlation
from pipeline.engines.gaussian import covariance


@pytest.mark.parametrize("shared_dc", [0.0, 0.3])
def test_halo_leaves_no_seam_anywhere(shared_dc: float) -> None:
    seams = measure(Setting(shared_dc=shared_dc))
    assert len(seams.energy) == 200
    assert seams.energy.min() >= 0.95
    assert seams.energy.max() <= 1.06


def test_shared_noise_holds_a_video_together_and_keeps_its_variance() -> None:
    seams = measure(Setting(shared_dc=0.3))
    assert abs(seams.correlation[80] - target_correlation(80)) <= 0.05
    assert seams.variance.min() >= 0.95
    assert seams.variance.max() <= 1.05
    assert abs(measure(Setting()).correlation[80]) < 0.001


def test_a_grid_that_stands_still_shows_where_it_stands() -> None:
    assert measure(Setting(shift=False)).energy.max() > 1.3


def test_decay_and_none_are_told_apart_from_halo_and_from_each_other() -> None:
    decay, none = measure(Setting(mode="decay")), measure(Setting(mode="none"))
    assert 1.4 < decay.energy.max() < 1.7
    assert none.energy.max() > 6.0
    # Cross-faded copies are blurred where they meet, uncoupled windows are not.
    assert decay.variance_in_joins.min() < 0.87 < decay.variance.max()
    assert none.variance_in_joins.min() > 1.0
    assert _peaks(none) <= {frame for join in none.joins for frame in join}


def _peaks(seams: Seams) -> set[int]:
    return {int(position) for position in np.flatnonzero(seams.energy > 1.3)}


@pytest.mark.parametrize("num_latent_frames", [90, 201])
def test_the_impulse_response_is_the_one_that_matrices_written_from_scratch_give(
    num_latent_frames: int,
) -> None:
    got = video_covariance(Setting(num_latent_frames=num_latent_frames))
    expected = _halo_from_scratch(num_latent_frames)
    assert np.abs(got - expected).max() < 2e-6


def _halo_from_scratch(num_latent_frames: int) -> np.ndarray:
    """``halo`` in float64, as matrices over the whole video, without any of nightreel's geometry.

    Windows of 21, halo 2, core 17, 20 Adams-Bashforth steps, shift 5.
    """
    sigmas = _sigmas()
    video, before = np.eye(num_latent_frames), None
    for step in range(20):
        velocity = _velocity_matrix(num_latent_frames, step, sigmas[step]) @ video
        h = sigmas[step + 1] - sigmas[step]
        if before is None:
            video = video + h * velocity
        else:
            r = h / (sigmas[step] - sigmas[step - 1])
            video = video + h * ((1.0 + r / 2.0) * velocity - r / 2.0 * before)
        before = velocity
    return video @ video.T


def _sigmas() -> list[float]:
    lowest = 5.0 * 0.001 / (1.0 + 4.0 * 0.001)
    return [5.0 * u / (1.0 + 4.0 * u) for u in np.linspace(1.0, lowest, 20)] + [0.0]


def _velocity_matrix(num_latent_frames: int, step: int, sigma: float) -> np.ndarray:
    """Each row is a latent frame's velocity, as its window's posterior has it."""
    process = (1.0 - sigma) * covariance(21)
    noisy = (1.0 - sigma) * process + sigma**2 * np.eye(21)
    of_window = (np.eye(21) - process @ np.linalg.inv(noisy)) / sigma
    offset = int(17 * sum(((step >> bit) & 1) / 2 ** (bit + 1) for bit in range(5)))
    borders = [0, *(b for b in range(offset, num_latent_frames, 17)), num_latent_frames]
    cores = sorted({b for b in borders if not 0 < b <= 2 and not 0 < num_latent_frames - b <= 2})
    whole = np.zeros((num_latent_frames, num_latent_frames))
    for start, stop in itertools.pairwise(cores):
        first = min(max(start - 2, 0), num_latent_frames - 21)
        rows = slice(start - first, stop - first)
        whole[start:stop, first : first + 21] = of_window[rows]
    return whole
