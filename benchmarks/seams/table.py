"""The table of seams, as Markdown: one row per setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.seams.measures import target_correlation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.seams.measures import Seams

LAGS = (40, 80)

HEADINGS = (
    "setting",
    "energy over its median",
    "variance in joins",
    "variance everywhere",
    *(f"correlation at {lag} (target {target_correlation(lag):.2f})" for lag in LAGS),
    "cost",
)


def table(measured: Mapping[str, Seams]) -> str:
    """Every setting in the order given."""
    lines = [_row(HEADINGS), _row(["---"] + ["---:"] * (len(HEADINGS) - 1))]
    lines += [_row([name, *_figures(seams)]) for name, seams in measured.items()]
    return "\n".join(lines)


def extent(values: NDArray[np.float64]) -> str:
    """Lowest and highest, with three decimals."""
    return f"{values.min():.3f} .. {values.max():.3f}"


def _figures(seams: Seams) -> list[str]:
    return [
        extent(seams.energy),
        extent(seams.variance_in_joins),
        extent(seams.variance),
        *(f"{seams.correlation[lag]:.3f}" for lag in LAGS),
        f"{seams.cost:.2f}",
    ]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
