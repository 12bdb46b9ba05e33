"""Solvers of ``dx/dsigma = v``: one step for one segment, history per latent frame.

History is what a solver keeps of earlier steps: as many tensors of the latents' shape as it has
depth, one after another along the channels.

Every operation is elementwise and rounds on its own (no fused multiply-add), so the bits of a
latent frame do not depend on which other frames are advanced in the same call.

Shape suffixes: T slots, C channels, D history depth times C, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline import unipc
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pipeline.engines.protocol import NoiseLevel

SolverName = Literal["ab2", "euler", "unipc"]
HISTORY_DEPTHS: dict[SolverName, int] = {"ab2": 1, "euler": 0, "unipc": unipc.HISTORY_DEPTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """Which solver.

    Attributes:
        solver: ``ab2`` (second-order Adams-Bashforth in v, the default), ``euler``, or ``unipc``,
            the one that Wan was published with, at its own noise levels.
    """

    solver: SolverName = "ab2"

    def __post_init__(self) -> None:
        if self.solver not in HISTORY_DEPTHS:
            raise ConfigError(f"sampler.solver = {self.solver!r}: expected ab2, euler or unipc")

    @property
    def history_depth(self) -> int:
        """How many tensors of the latents' shape a step needs of the steps before."""
        return HISTORY_DEPTHS[self.solver]


def advance(
    latents_TCHW: Tensor,
    velocity_TCHW: Tensor,
    history_TDHW: Tensor | None,
    levels: Sequence[NoiseLevel],
    step: int,
    *,
    solver: SolverName,
) -> tuple[Tensor, Tensor | None]:
    """From ``levels[step]`` to ``levels[step + 1]``: the new latents and the new history.

    ``history_TDHW`` is ``None`` at the first step, and always for ``euler``, which has none.
    """
    if solver == "unipc":
        return unipc.unipc_step(latents_TCHW, velocity_TCHW, history_TDHW, levels, step)
    moved_TCHW = _moved(latents_TCHW, velocity_TCHW, history_TDHW, levels, step)
    return moved_TCHW, velocity_TCHW if solver == "ab2" else None


def _moved(
    latents_TCHW: Tensor,
    velocity_TCHW: Tensor,
    before_TCHW: Tensor | None,
    levels: Sequence[NoiseLevel],
    step: int,
) -> Tensor:
    """Without the velocity of the step before this is Euler, ``x + h v``.

    With it, the two-step Adams-Bashforth rule for steps of unequal length:
    ``x + h ((1 + r / 2) v - r / 2 v_before)``, ``r = h / h_before``
    (Hairer, Norsett, Wanner, "Solving ordinary differential equations I", III.5).
    """
    h = levels[step + 1].sigma - levels[step].sigma
    if before_TCHW is None:
        return latents_TCHW + velocity_TCHW * h
    r = h / (levels[step].sigma - levels[step - 1].sigma)
    now = velocity_TCHW * (h * (1.0 + 0.5 * r))
    before = before_TCHW * (h * 0.5 * r)
    return latents_TCHW + (now - before)
