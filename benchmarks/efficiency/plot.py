"""Share of ideal against the time per window, a line for each gang and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.efficiency.cell import Outcome

SIZE_IN = (6.0, 3.4)
DPI = 110
COLOURS = {2: "#5a9367", 4: "#1f4e79", 8: "#d9534f"}
STYLES = {"480p": "-", "720p": "--"}


def plot(outcomes: list[Outcome], path: Path) -> None:
    """Draw it as a PNG."""
    lines: dict[tuple[int, str], list[Outcome]] = {}
    for got in outcomes:
        lines.setdefault((got.cell.num_actors, got.cell.size), []).append(got)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        axes = figure.subplots()
        for (num_actors, size), line in sorted(lines.items()):
            axes.plot(
                [got.cell.window_s for got in line],
                [100 * got.share for got in line],
                label=f"{num_actors} actors, {size}",
                color=COLOURS[num_actors],
                linestyle=STYLES[size],
                marker="o",
                markersize=3,
                linewidth=1.3,
            )
        axes.set_xscale("log")
        costs = sorted({got.cell.window_s for got in outcomes})
        axes.set_xticks(costs, [f"{cost:g}" for cost in costs])
        axes.minorticks_off()
        axes.set_xlabel("seconds per window")
        axes.set_ylabel("share of ideal, %")
        axes.set_ylim(top=100)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Software": None})
