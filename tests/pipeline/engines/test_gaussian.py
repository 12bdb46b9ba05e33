"""The oracle: its answer against the textbook, its pictures, its cost."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.engines.gaussian import GaussianEngine, GaussianOptions, correlation, covariance, spec
from pipeline.engines.protocol import NoiseLevel
from pipeline.errors import ConfigError
from pipeline.schedule import flow_match_levels
from tests.plans import small_gaussian


@pytest.mark.parametrize("sigma", [0.999, 0.7, 0.2, 0.01])
def test_velocity_is_the_posterior_mean_of_the_joint_gaussian(sigma: float) -> None:
    """v = E[noise - x0 | x], by conditioning the joint covariance of (x0, noise, x) directly."""
    engine = small_gaussian(window_latent_frames=7)
    mean = engine.encode_prompts(["some words"])[0]
    x_TCHW = torch.randn(7, 4, 2, 3)
    process = covariance(7)
    x_variance = (1 - sigma) ** 2 * process + sigma**2 * np.eye(7)
    with_x = sigma * np.eye(7) - (1 - sigma) * process  # Cov(noise - x0, x)
    got = engine.predict(x_TCHW, NoiseLevel(sigma, 1000 * sigma), mean).double().numpy()
    for channel in range(4):
        mu = float(mean[0, channel])
        centred = x_TCHW[:, channel].double().numpy() - (1 - sigma) * mu
        flat = centred.reshape(7, -1)
        expected = -mu + with_x @ np.linalg.solve(x_variance, flat)
        # The network's own rounding is fp32; at small sigma v = (x - x0) / sigma magnifies it.
        np.testing.assert_allclose(got[:, channel].reshape(7, -1), expected, atol=2e-5 / sigma)


def test_sampling_one_window_gives_the_process() -> None:
    """Many pixels of one window: variance and correlation are those of the process."""
    engine = GaussianEngine(
        GaussianOptions(channels=3, window_latent_frames=21, prompt_contrast=0.0)
    )
    levels = flow_match_levels(200, 3.0)
    generator = torch.Generator().manual_seed(3)
    x_TCHW = torch.randn(21, 3, 64, 64, generator=generator)
    for now, after in pairwise(levels):
        velocity = engine.predict(x_TCHW, now, torch.zeros(1, 3))
        x_TCHW = x_TCHW + (after.sigma - now.sigma) * velocity
    pixels = x_TCHW.flatten(1).double().numpy()
    got = pixels @ pixels.T / pixels.shape[1]
    assert np.abs(got - covariance(21)).max() < 0.06


def test_the_process_has_a_look_that_lasts() -> None:
    assert float(correlation(np.array(0))) == pytest.approx(1.0)
    assert float(correlation(np.array(40))) == pytest.approx(0.40, abs=0.01)
    assert float(correlation(np.array(80))) == pytest.approx(0.29, abs=0.01)


def test_decoding_a_few_at_a_time_gives_the_same_frames() -> None:
    engine = small_gaussian()
    latents = torch.randn(6, 4, 2, 4)
    whole = np.concatenate(list(engine.stream_decoder().push(latents)))
    decoder = engine.stream_decoder()
    parts = [frame for k in range(6) for frame in decoder.push(latents[k : k + 1])]
    assert whole.shape == (21, 16, 32, 3)
    assert [len(part) for part in parts] == [1, 4, 4, 4, 4, 4]
    assert (np.concatenate(parts) == whole).all()


def test_a_window_costs_what_it_is_told_to() -> None:
    engine = small_gaussian(window_cost_s=0.05)
    started_s = time.perf_counter()
    engine.predict(torch.zeros(9, 4, 1, 1), NoiseLevel(0.5, 500.0), torch.zeros(1, 4))
    assert time.perf_counter() - started_s >= 0.05


def test_cost_leaves_no_trace_in_the_digest_and_size_does() -> None:
    plain = spec(GaussianOptions())
    assert spec(GaussianOptions(window_cost_s=1.0)).weights_digest == plain.weights_digest
    assert spec(GaussianOptions(channels=8)).weights_digest != plain.weights_digest


@pytest.mark.parametrize(
    ("option", "value"),
    [("channels", 2), ("window_latent_frames", 2), ("window_cost_s", -1.0)],
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"engine\.gaussian\.{option} = {value}"):
        GaussianOptions(**{option: value})  # type: ignore[arg-type]
