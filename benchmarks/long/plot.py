"""Time and memory against the length of the video, a line per method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.long.work import CONTEXT, GANG, ONE_PASS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.long.runs import Measurement
    from benchmarks.long.work import Outcome

SIZE_IN = (8.0, 3.2)
DPI = 110
COLOURS = {GANG: "#1f4e79", CONTEXT: "#5a9367", ONE_PASS: "#d9534f"}
MIB = float(1 << 20)


def plot(found: Measurement, path: Path) -> None:
    """Draw both as a PNG."""
    methods: dict[str, Mapping[float, Outcome]] = {
        GANG: found.gang,
        CONTEXT: found.context,
        ONE_PASS: found.one_pass,
    }
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        time_axes, memory_axes = figure.subplots(1, 2)
        for method, outcomes in methods.items():
            done = {d: got for d, got in sorted(outcomes.items()) if not got.failure}
            style = {"color": COLOURS[method], "marker": "o", "markersize": 3, "linewidth": 1.3}
            label = f"{method} of 2" if method == GANG else f"{method}, 1 worker"
            seconds = [min(got.seconds) for got in done.values()]
            memory = [max(got.peak_bytes) / MIB for got in done.values()]
            time_axes.plot(list(done), seconds, label=label, **style)
            memory_axes.plot(list(done), memory, **style)
        time_axes.set_yscale("log")
        time_axes.set_ylabel("sampling, s")
        time_axes.legend(frameon=False)
        memory_axes.set_ylabel("most memory of a process, MiB")
        memory_axes.set_ylim(bottom=0)
        for axes in (time_axes, memory_axes):
            axes.set_xscale("log")
            axes.set_xlabel("length of the video, s")
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)
