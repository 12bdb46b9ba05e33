"""The picture of seams: frame-difference energy along the video, one strip per boundary mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.seams.table import extent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.seams.measures import Seams

SIZE_IN = (8.0, 5.0)
DPI = 110
LINE, QUIET, JOIN = "#1f4e79", "#8a8f98", "#d9534f"
LOWEST, HIGHEST, TICKS = 0.8, 8.0, (1, 2, 4)


def plot(measured: Mapping[str, Seams], path: Path) -> None:
    """Draw a strip per entry, all on one logarithmic scale, as a PNG."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        strips = figure.subplots(len(measured), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for strip, (name, seams) in zip(strips, measured.items(), strict=True):
            _draw(strip, name, seams)
        strips[-1].set_xlabel("latent frame (red: where windows meet)")
        figure.suptitle("Frame-difference energy over its median; 1 is no seam", fontsize=10)
        figure.savefig(path, metadata={"Software": None})


def _draw(strip: Axes, name: str, seams: Seams) -> None:
    # Position t lies between latent frames t and t + 1.
    position = np.arange(len(seams.energy)) + 0.5
    for join in seams.joins:
        strip.axvspan(join.start, join.stop - 1, ymax=0.06, color=JOIN, linewidth=0)
    strip.axhline(1.0, color=QUIET, linewidth=0.6, linestyle=":")
    strip.plot(position, seams.energy, color=LINE, linewidth=1.2, solid_joinstyle="round")
    strip.set_yscale("log")
    strip.set_ylim(LOWEST, HIGHEST)
    strip.set_yticks(TICKS, [str(tick) for tick in TICKS])
    strip.minorticks_off()
    strip.set_xlim(0, len(seams.variance) - 1)
    strip.spines[["top", "right"]].set_visible(False)
    strip.set_title(name, loc="left", fontsize=9, fontweight="bold", pad=2)
    strip.set_title(extent(seams.energy), loc="right", fontsize=9, color=QUIET, pad=2)
