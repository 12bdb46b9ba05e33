"""Noise levels of flow matching, as diffusers' schedulers have them.

``FlowMatchEulerDiscreteScheduler`` for the solvers in v, ``UniPCMultistepScheduler`` with flow
sigmas, the published one of Wan, for ``unipc``.

sigma falls from 1 (noise) to 0 (video); ``num_inference_steps`` steps need one level more. The
shift (Esser et al. 2403.03206, eq. 23) moves steps towards the noisy end: ``s u / (1 + (s - 1)
u)``. Levels are rounded to fp32 where diffusers rounds them, so that the network is told the same
timesteps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pipeline.engines.protocol import NoiseLevel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Sigma = TypeVar("Sigma", np.float32, NDArray[np.float64])

NUM_TRAIN_TIMESTEPS = 1000


def flow_match_levels(num_inference_steps: int, flow_shift: float) -> tuple[NoiseLevel, ...]:
    """The levels of a render: ``num_inference_steps`` of them, and a last one at sigma 0.

    As in diffusers the lowest training level is shifted once when the range is set up and the
    whole range once more.
    """
    lowest = float(_shifted(np.float32(1.0 / NUM_TRAIN_TIMESTEPS), flow_shift))
    spaced = np.linspace(NUM_TRAIN_TIMESTEPS, lowest * NUM_TRAIN_TIMESTEPS, num_inference_steps)
    sigmas = _shifted(spaced / NUM_TRAIN_TIMESTEPS, flow_shift).astype(np.float32)
    levels = [
        NoiseLevel(sigma=float(sigma), timestep=float(sigma * np.float32(NUM_TRAIN_TIMESTEPS)))
        for sigma in sigmas
    ]
    return (*levels, NoiseLevel(sigma=0.0, timestep=0.0))


def unipc_levels(num_inference_steps: int, flow_shift: float) -> tuple[NoiseLevel, ...]:
    """The levels of a render by UniPC: ``num_inference_steps`` of them, and a last one at sigma 0.

    The first is a millionth below 1, where the signal-to-noise ratio would be 0; timesteps are
    whole numbers, rounded down.
    """
    spaced = np.linspace(1.0, 1.0 / NUM_TRAIN_TIMESTEPS, num_inference_steps + 1)[:-1]
    sigmas = _shifted(spaced, flow_shift)
    sigmas[0] = min(sigmas[0], 1.0 - 1e-6)
    levels = [
        NoiseLevel(sigma=float(np.float32(sigma)), timestep=float(int(sigma * NUM_TRAIN_TIMESTEPS)))
        for sigma in sigmas
    ]
    return (*levels, NoiseLevel(sigma=0.0, timestep=0.0))


def _shifted(sigma: Sigma, shift: float) -> Sigma:
    return shift * sigma / (1 + (shift - 1) * sigma)
