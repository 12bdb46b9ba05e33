"""Noise, schedule, solvers, prompts, joins: closed forms and equivalences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers.schedulers import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.protocol import NoiseLevel
from pipeline.errors import ConfigError
from pipeline.noise import NoiseOptions, high_pass_taps, initial_noise
from pipeline.prompts import PromptOptions, mix, timeline
from pipeline.request import PromptEvent
from pipeline.schedule import flow_match_levels
from pipeline.solvers import HISTORY_DEPTHS, SolverName, advance

SHAPE = (4, 8, 8)


def _noise(frames: range, rho: float, seed: int = 7) -> torch.Tensor:
    return torch.stack(list(initial_noise(seed, frames, SHAPE, NoiseOptions(shared_dc=rho))))


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_noise_of_a_frame_does_not_depend_on_what_else_is_drawn(rho: float) -> None:
    whole = _noise(range(60), rho)
    assert torch.equal(whole[20:31], _noise(range(20, 31), rho))
    backwards = initial_noise(7, range(59, -1, -1), SHAPE, NoiseOptions(shared_dc=rho))
    assert torch.equal(whole.flip(0), torch.stack(list(backwards)))


def test_noise_differs_by_seed_and_frame() -> None:
    noise = _noise(range(3), 0.0)
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, _noise(range(3), 0.0, seed=8))


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5])
def test_covariance_of_the_noise_is_the_closed_form(rho: float) -> None:
    """I - rho L + rho / B with L Gaussian, L(0) = 1 / B; measured on 256 pixels, 400 frames."""
    block = 17
    options = NoiseOptions(shared_dc=rho, shared_dc_latent_frames=block)
    draws = [
        torch.stack(list(initial_noise(seed, range(400), SHAPE, options))).flatten(1)
        for seed in range(12)
    ]
    noise = torch.cat(draws, dim=1).double().numpy()
    sigma = block / math.sqrt(2 * math.pi)
    for lag in (0, 1, 5, 20, 80, 200):
        low_pass = math.exp(-0.5 * (lag / sigma) ** 2) / block
        expected = (lag == 0) - rho * low_pass + rho / block
        got = np.mean(noise[: 400 - lag] * noise[lag:])
        assert got == pytest.approx(expected, abs=0.012)


def test_the_filter_squares_to_the_closed_form() -> None:
    options = NoiseOptions(shared_dc=0.4)
    taps = high_pass_taps(options).astype(np.float64)
    square = np.correlate(taps, taps, mode="full")[len(taps) - 1 :]
    sigma = 17 / math.sqrt(2 * math.pi)
    lag = np.arange(len(taps))
    expected = (lag == 0) - 0.4 / 17 * np.exp(-0.5 * (lag / sigma) ** 2)
    assert np.abs(square - expected).max() < 1e-6


@pytest.mark.parametrize("rho", [-0.1, 1.0, float("nan")])
def test_shared_dc_out_of_range_is_refused(rho: float) -> None:
    with pytest.raises(ConfigError, match="shared_dc"):
        NoiseOptions(shared_dc=rho)


@pytest.mark.parametrize("num_steps", [1, 4, 20, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 8.0])
def test_levels_are_bit_for_bit_those_of_diffusers(num_steps: int, shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(num_steps)
    levels = flow_match_levels(num_steps, shift)
    assert [level.sigma for level in levels] == scheduler.sigmas.tolist()
    assert [level.timestep for level in levels[:-1]] == scheduler.timesteps.tolist()


def _integrate(solver: SolverName, num_steps: int) -> float:
    """Integrate dx/ds = 3 s^2 from 1 to 0 on the uneven grid of shift 3: the answer is -1."""
    levels = flow_match_levels(num_steps, 3.0)
    x, history = torch.zeros(1, dtype=torch.float64), None
    for step in range(num_steps):
        velocity = torch.full_like(x, 3 * levels[step].sigma ** 2)
        x, history = advance(x, velocity, history, levels, step, solver=solver)
    return float(x) + 1.0


def test_solvers_converge_at_their_order() -> None:
    euler = [abs(_integrate("euler", n)) for n in (200, 400)]
    ab2 = [abs(_integrate("ab2", n)) for n in (200, 400)]
    assert euler[0] / euler[1] == pytest.approx(2.0, rel=0.1)
    assert ab2[0] / ab2[1] == pytest.approx(4.0, rel=0.2)
    assert ab2[0] < euler[0] / 20


def test_adams_bashforth_is_exact_for_a_velocity_linear_in_sigma() -> None:
    levels = [NoiseLevel(s, 1000 * s) for s in (1.0, 0.7, 0.2, 0.0)]
    x = torch.tensor([0.0], dtype=torch.float64)
    exact = (0.7**2 - 1) / 2
    x = x + exact  # the first step is Euler's; start the check behind it
    history = torch.tensor([1.0], dtype=torch.float64)
    for step in (1, 2):
        velocity = torch.tensor([levels[step].sigma], dtype=torch.float64)
        x, kept = advance(x, velocity, history, levels, step, solver="ab2")
        assert kept is not None
        history = kept
    assert float(x) == pytest.approx(-0.5, abs=1e-12)


@pytest.mark.parametrize("solver", HISTORY_DEPTHS)
@pytest.mark.parametrize("step", [3, 19])
def test_frames_are_advanced_alike_alone_and_together(solver: SolverName, step: int) -> None:
    levels = flow_match_levels(20, 5.0)
    x, v = (torch.randn(7, 4, 9, 5) for _ in range(2))
    depth = HISTORY_DEPTHS[solver]
    h = torch.randn(7, depth * 4, 9, 5) if depth else None
    together = advance(x, v, h, levels, step, solver=solver)
    alone = [
        advance(x[i], v[i], None if h is None else h[i], levels, step, solver=solver)
        for i in range(7)
    ]
    assert torch.equal(together[0], torch.stack([latents for latents, _ in alone]))
    assert (together[1] is None) == (depth == 0)
    for i, (_, kept) in enumerate(alone):
        assert kept is None or (together[1] is not None and torch.equal(together[1][i], kept))


EVENTS = (PromptEvent(5.0, "rain"), PromptEvent(12.0, "night"))


@given(st.floats(0, 60), st.floats(0, 4))
def test_shares_add_up_and_change_continuously(time_s: float, transition_s: float) -> None:
    line = timeline("a hill", EVENTS, PromptOptions(transition_s=transition_s))
    shares = dict(line.mixture(time_s))
    assert sum(shares.values()) == pytest.approx(1.0)
    if transition_s > 0.5:
        later = dict(line.mixture(time_s + 0.01))
        for prompt in {*shares, *later}:
            assert abs(shares.get(prompt, 0.0) - later.get(prompt, 0.0)) < 0.05


def test_each_time_has_its_prompt_and_an_event_is_half_way_at_its_start() -> None:
    line = timeline("A hill.", EVENTS, PromptOptions(transition_s=1.0))
    assert line.prompts == ("A hill.", "A hill. rain", "A hill. night")
    assert line.mixture(0.0) == (("A hill.", 1.0),)
    assert line.mixture(8.0) == (("A hill. rain", 1.0),)
    assert line.mixture(100.0) == (("A hill. night", 1.0),)
    assert dict(line.mixture(5.0)) == pytest.approx({"A hill.": 0.5, "A hill. rain": 0.5})


def test_without_a_global_prompt_the_first_event_holds_from_the_start() -> None:
    line = timeline("", EVENTS, PromptOptions(transition_s=0.0))
    assert line.mixture(0.0) == (("rain", 1.0),)
    assert line.mixture(11.99) == (("rain", 1.0),)
    assert line.mixture(12.0) == (("night", 1.0),)


def test_a_single_prompt_is_not_touched_by_mixing() -> None:
    embeds = {"a": torch.randn(3, 4), "b": torch.randn(3, 4)}
    assert mix((("a", 1.0),), embeds) is embeds["a"]
    mixed = mix((("a", 0.25), ("b", 0.75)), embeds)
    assert torch.allclose(mixed, 0.25 * embeds["a"] + 0.75 * embeds["b"])
