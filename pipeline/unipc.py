"""UniPC of order 2 with B2(h), predicting x0, for one segment: history per latent frame.

"UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models", Zhao et al.
2302.04867, algorithms 5 and 6 (data prediction), in the form of diffusers'
``UniPCMultistepScheduler`` (``multistep_uni_p_bh_update``, ``multistep_uni_c_bh_update``), which is
the published sampler of Wan: ``alpha = 1 - sigma``, ``lambda = log(alpha / sigma)``.

A step first corrects the latents with what the model says of them, then predicts the next ones. It
needs three things of the step before: its x0, the x0 of the one before that, and the latents that
it had corrected. They lie one after another along the channels: ``[T, 3 C, H, W]``.

Every operation is elementwise and rounds on its own, as in ``pipeline.solvers``.

Shape suffixes: T slots, C channels, D three times C, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pipeline.engines.protocol import NoiseLevel

ORDER = 2
HISTORY_DEPTH = 3


def unipc_step(
    latents_TCHW: Tensor,
    velocity_TCHW: Tensor,
    history_TDHW: Tensor | None,
    levels: Sequence[NoiseLevel],
    step: int,
) -> tuple[Tensor, Tensor]:
    """From ``levels[step]`` to ``levels[step + 1]``: the new latents and the new history.

    Args:
        latents_TCHW: as the step before predicted them.
        velocity_TCHW: what the model says of them.
        history_TDHW: ``None`` at the first step.
        levels: of the whole render.
        step: which one this is.
    """
    x0_TCHW = latents_TCHW - velocity_TCHW * levels[step].sigma
    if history_TDHW is None:
        assert step == 0, f"step {step} has no history"
        before_TCHW, corrected_TCHW = torch.zeros_like(x0_TCHW), latents_TCHW
    else:
        before_TCHW = history_TDHW.chunk(HISTORY_DEPTH, dim=-3)[0]
        corrected_TCHW = _corrected(x0_TCHW, history_TDHW, levels, step)
    predicted_TCHW = _predicted(corrected_TCHW, x0_TCHW, before_TCHW, levels, step)
    return predicted_TCHW, torch.cat([x0_TCHW, before_TCHW, corrected_TCHW], dim=-3)


def _order(levels: Sequence[NoiseLevel], step: int) -> int:
    """First order at the first step, which has no history, and at the last, for stability."""
    return min(ORDER, step + 1, len(levels) - 1 - step)


def _predicted(
    x_TCHW: Tensor,
    x0_TCHW: Tensor,
    before_TCHW: Tensor,
    levels: Sequence[NoiseLevel],
    step: int,
) -> Tensor:
    """UniP: the latents of ``levels[step + 1]``."""
    move = _Move.between(levels[step], levels[step + 1])
    next_TCHW = x_TCHW * move.keep - x0_TCHW * move.gain
    if _order(levels, step) == 1:
        return next_TCHW
    ratio = move.ratio_to(levels[step - 1])
    return next_TCHW - (before_TCHW - x0_TCHW) * (0.5 * move.gain / ratio)


def _corrected(
    x0_TCHW: Tensor, history_TDHW: Tensor, levels: Sequence[NoiseLevel], step: int
) -> Tensor:
    """UniC: the latents of ``levels[step]`` again, of the order that the prediction had."""
    before_TCHW, older_TCHW, last_TCHW = history_TDHW.chunk(HISTORY_DEPTH, dim=-3)
    move = _Move.between(levels[step - 1], levels[step])
    again_TCHW = last_TCHW * move.keep - before_TCHW * move.gain
    now_TCHW = x0_TCHW - before_TCHW
    if _order(levels, step - 1) == 1:
        return again_TCHW - now_TCHW * (0.5 * move.gain)
    ratio = move.ratio_to(levels[step - 2])
    older_weight, now_weight = move.corrector_weights(ratio)
    again_TCHW = again_TCHW - (older_TCHW - before_TCHW) * (move.gain * older_weight / ratio)
    return again_TCHW - now_TCHW * (move.gain * now_weight)


@dataclass(frozen=True, slots=True)
class _Move:
    """The numbers of one step, in double precision.

    Attributes:
        start_lambda: half the log signal-to-noise ratio that it starts from.
        h: how far it goes in lambda; infinite to sigma 0.
        keep: share of the latents that stays, ``sigma_t / sigma_s``.
        gain: ``alpha_t B(h)`` with ``B(h) = exp(-h) - 1``; negative.
    """

    start_lambda: float
    h: float
    keep: float
    gain: float

    @classmethod
    def between(cls, start: NoiseLevel, end: NoiseLevel) -> _Move:
        h = _lambda(end.sigma) - _lambda(start.sigma)
        return cls(
            start_lambda=_lambda(start.sigma),
            h=h,
            keep=end.sigma / start.sigma,
            gain=(1.0 - end.sigma) * math.expm1(-h),
        )

    def ratio_to(self, earlier: NoiseLevel) -> float:
        """How far back an earlier level lies, in units of ``h``; negative."""
        return (_lambda(earlier.sigma) - self.start_lambda) / self.h

    def corrector_weights(self, ratio: float) -> tuple[float, float]:
        """The solution of the two order conditions: weights of the older and of this x0."""
        b_h = math.expm1(-self.h)
        phi_2 = b_h / -self.h - 1.0
        phi_3 = phi_2 / -self.h - 0.5
        first, second = phi_2 / b_h, 2.0 * phi_3 / b_h
        older = (first - second) / (1.0 - ratio)
        return older, first - older


def _lambda(sigma: float) -> float:
    return math.inf if sigma == 0.0 else math.log(1.0 - sigma) - math.log(sigma)
