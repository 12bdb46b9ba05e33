"""Time per step against the size of a boundary, a panel for each number of actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.exchange.figures import MIB

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.exchange.figures import Figures

SIZE_IN = (9.0, 3.4)
DPI = 110
# name, attribute, colour, line style
LINES = (
    ("naive Ray", "naive_s", "#d9534f", "-"),
    ("nightreel, object store", "store_s", "#1f4e79", "-"),
    ("at most", "limit_s", "#8a8f98", "--"),
    ("gloo, blocking", "gloo_s", "#5a9367", "-"),
    ("memcpy in and out", "memcpy_s", "#8a8f98", "-"),
)
TICKS_MIB = (1, 2, 4, 8, 16, 32)
TICKS_MS = (1, 10, 100, 1000)


def plot(measured: list[Figures], path: Path) -> None:
    """Draw both axes logarithmic, as a PNG."""
    counts = sorted({got.num_actors for got in measured})
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
        for panel, count in zip(panels, counts, strict=True):
            of_count = [got for got in measured if got.num_actors == count]
            _draw(panel, sorted(of_count, key=lambda got: got.num_bytes))
            panel.set_title(f"{count} actors", loc="left", fontsize=9, fontweight="bold")
        panels[0].set_ylabel("ms per step")
        panels[-1].legend(frameon=False, fontsize=8)
        figure.supxlabel("boundary in one direction, MiB", fontsize=9)
        figure.savefig(path, metadata={"Software": None})


def _draw(panel: Axes, measured: list[Figures]) -> None:
    sizes = [got.num_bytes / MIB for got in measured]
    for name, attribute, colour, style in LINES:
        times_ms = [1e3 * getattr(got, attribute) for got in measured]
        panel.plot(sizes, times_ms, label=name, color=colour, linestyle=style, linewidth=1.3)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(TICKS_MIB, [str(tick) for tick in TICKS_MIB])
    panel.set_yticks(TICKS_MS, [str(tick) for tick in TICKS_MS])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.spines[["top", "right"]].set_visible(False)
