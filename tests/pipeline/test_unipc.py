"""UniPC against diffusers' ``UniPCMultistepScheduler``, and the order that it was made for."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from pipeline.engines.protocol import NoiseLevel
from pipeline.schedule import unipc_levels
from pipeline.unipc import unipc_step


def stock(num_steps: int, shift: float) -> UniPCMultistepScheduler:
    """As the published Wan checkpoints set it up."""
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(num_steps)
    return scheduler


@pytest.mark.parametrize("num_steps", [1, 2, 4, 20, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0, 12.0])
def test_levels_are_bit_for_bit_those_of_diffusers(num_steps: int, shift: float) -> None:
    scheduler, levels = stock(num_steps, shift), unipc_levels(num_steps, shift)
    assert [level.sigma for level in levels] == scheduler.sigmas.tolist()
    assert [level.timestep for level in levels[:-1]] == scheduler.timesteps.tolist()


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 20, 50])
@pytest.mark.parametrize("shift", [3.0, 12.0])
def test_a_trajectory_is_that_of_diffusers(num_steps: int, shift: float) -> None:
    generator = torch.Generator().manual_seed(num_steps)
    x = theirs = torch.randn(3, 4, 5, 6, generator=generator)
    target = torch.randn(3, 4, 5, 6, generator=generator)
    scheduler, levels = stock(num_steps, shift), unipc_levels(num_steps, shift)
    history = None
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = levels[step].sigma
        ours_v, theirs_v = ((y - target) / (0.2 + sigma) + torch.sin(3 * y) for y in (x, theirs))
        theirs = scheduler.step(theirs_v, timestep, theirs, return_dict=False)[0]
        x, history = unipc_step(x, ours_v, history, levels, step)
    assert (x - theirs).norm() < 1e-5 * theirs.norm()


def _error(num_steps: int) -> float:
    """From sigma 0.9 to 0.1 through a velocity whose flow is known: dx/ds = -x."""
    ends = [0.9 - 0.8 * step / num_steps for step in range(num_steps + 1)]
    levels = [NoiseLevel(s, 1000 * s) for s in ends]
    x, history = torch.ones(1, 1, 1, 1, dtype=torch.float64), None
    for step in range(num_steps):
        x, history = unipc_step(x, -x, history, levels, step)
    return abs(float(x) - math.exp(0.8))


def test_it_converges_at_second_order_or_better() -> None:
    assert _error(40) / _error(80) > 3.5
    assert _error(80) < 1e-3
