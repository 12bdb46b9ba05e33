"""Solvers of ``dx/dsigma = v``: one step for one segment, history per latent frame.

Every operation is elementwise and rounds on its own (no fused multiply-add), so the bits of a
latent frame do not depend on which other frames are advanced in the same call.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pipeline.engines.protocol import NoiseLevel

SolverName = Literal["ab2", "euler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Which solver: ``ab2`` (second-order Adams-Bashforth in v, the default) or ``euler``."""

    solver: SolverName = "ab2"

    def __post_init__(self) -> None:
        if self.solver not in {"ab2", "euler"}:
            raise ConfigError(f"sampler.solver = {self.solver!r}: expected ab2 or euler")

    @property
    def has_history(self) -> bool:
        """Whether a step needs the velocity of the step before."""
        return self.solver == "ab2"


def advance(
    latents_TCHW: Tensor,
    velocity_TCHW: Tensor,
    history_TCHW: Tensor | None,
    levels: Sequence[NoiseLevel],
    step: int,
) -> Tensor:
    """From ``levels[step]`` to ``levels[step + 1]``.

    Without history this is Euler, ``x + h v``. With the velocity of the step before it is the
    two-step Adams-Bashforth rule for steps of unequal length:
    ``x + h ((1 + r / 2) v - r / 2 v_before)``, ``r = h / h_before``
    (Hairer, Norsett, Wanner, "Solving ordinary differential equations I", III.5).
    """
    h = levels[step + 1].sigma - levels[step].sigma
    if history_TCHW is None:
        return latents_TCHW + velocity_TCHW * h
    r = h / (levels[step].sigma - levels[step - 1].sigma)
    now = velocity_TCHW * (h * (1.0 + 0.5 * r))
    before = history_TCHW * (h * 0.5 * r)
    return latents_TCHW + (now - before)
