"""Weak seams that come back: the video folded at the period of its joins.

Laid under each other, the stretches from one join to the next make a table: a row per stretch, a
column per frame after the join. Row means (what the scene does) and the autoencoder's rhythm are
taken out. If columns still differ by more than they scatter, something comes back with the joins.
The classical ANOVA's F measures it; what F would be by chance is found by turning each row by
random whole latent frames, which keeps everything but the place of the joins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.quality.effect import CONFIDENCE, Effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quality.joins import Joins

NUM_TURNS = 999
MIN_NUM_ROWS = 3
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What folding found.

    Attributes:
        f: the ANOVA's F.
        p: share of random turns with an F at least as large.
        effect: F over its median by chance, with the interval that chance explains.
        num_rows: stretches that were folded.
        period_frames: their length.
    """

    f: float
    p: float
    effect: Effect
    num_rows: int
    period_frames: int


def fold(log_difference: NDArray[np.float64], joins: Joins) -> Fold | None:
    """Fold a curve ``[N]`` at its joins; ``None`` with fewer than three whole stretches."""
    period, rhythm = joins.period_frames, joins.rhythm_frames
    if period is None or period % rhythm or period < 3 * rhythm:
        return None
    table = _table(log_difference, joins, period)
    if len(table) < MIN_NUM_ROWS:
        return None
    table = _without_scene_and_rhythm(table, rhythm)
    f = _f(table, rhythm)
    by_chance = np.array([_f(turned, rhythm) for turned in _turned(table, rhythm)])
    tail = 50 * (1 - CONFIDENCE)
    low, middle, high = np.percentile(by_chance, [tail, 50, 100 - tail])
    return Fold(
        f=f,
        p=float((1 + (by_chance >= f).sum()) / (1 + NUM_TURNS)),
        effect=Effect(f / float(middle), f / float(high), f / float(low), len(table)),
        num_rows=len(table),
        period_frames=period,
    )


def _table(log_difference: NDArray[np.float64], joins: Joins, period: int) -> NDArray[np.float64]:
    """One row per join that is followed by a whole period without another join."""
    ends = [*joins.starts[1:], len(log_difference)]
    rows = [
        log_difference[start : start + period]
        for start, end in zip(joins.starts, ends, strict=True)
        if start + period <= end
    ]
    return np.array(rows).reshape(len(rows), period)


def _without_scene_and_rhythm(table: NDArray[np.float64], rhythm: int) -> NDArray[np.float64]:
    table = table - table.mean(axis=1, keepdims=True)
    num_rows, period = table.shape
    by_phase = table.reshape(num_rows, period // rhythm, rhythm)
    return np.asarray((by_phase - by_phase.mean(axis=(0, 1))).reshape(num_rows, period))


def _f(table: NDArray[np.float64], rhythm: int) -> float:
    """Mean square between columns over mean square within them."""
    num_rows, period = table.shape
    between = num_rows * (table.mean(axis=0) ** 2).sum()
    within = (table**2).sum() - between
    degrees_between, degrees_within = period - rhythm, (num_rows - 1) * (period - 1)
    smallest = np.finfo(np.float64).tiny
    return float((between / degrees_between + smallest) / (within / degrees_within + smallest))


def _turned(table: NDArray[np.float64], rhythm: int) -> list[NDArray[np.float64]]:
    """The table with every row turned by a random number of latent frames, many times over."""
    num_rows, period = table.shape
    rng = np.random.default_rng(SEED)
    turns = rhythm * rng.integers(0, period // rhythm, size=(NUM_TURNS, num_rows, 1))
    columns = (np.arange(period) + turns) % period
    return [np.take_along_axis(table, chosen, axis=1) for chosen in columns]
