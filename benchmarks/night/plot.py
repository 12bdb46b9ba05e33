"""The picture of nights: busy GPUs over time under each rule, in the same night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.night.measurement import PLANNER, rules
from benchmarks.night.settings import Setting, fleet, videos
from pipeline.planning.bound import lower_bound_s
from pipeline.planning.simulator import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from pipeline.planning.roster import Assignment

SIZE_IN = (8.0, 6.0)
DPI = 110
PLANNED, USUAL, QUIET, BOUND = "#1f4e79", "#8a8f98", "#8a8f98", "#d9534f"
NIGHTS = (Setting(1_000, 64), Setting(100, 64))


def plot(path: Path) -> None:
    """Draw a column per night and a strip per rule, as a PNG."""
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
        strips = figure.subplots(len(rules()), len(NIGHTS), sharex="col", sharey=True)
        for column, setting in enumerate(NIGHTS):
            tasks = videos(setting.num_videos)
            bound_s = lower_bound_s((task.work for task in tasks), setting.num_gpus)
            for strip, (name, rule) in zip(strips[:, column], rules().items(), strict=True):
                night = simulate(rule, fleet(setting.num_gpus), tasks, keeps_log=True)
                _draw(strip, night.log, name, night.makespan_s, bound_s)
            strips[-1, column].set_xlabel(
                f"hours; {setting.num_videos:,} videos on {setting.num_gpus} GPUs\n"
                "(red: the lower bound)"
            )
        figure.supylabel("busy GPUs", fontsize=9)
        figure.savefig(path, metadata={"Software": None})


def busy(log: list[Assignment]) -> tuple[list[float], list[int]]:
    """Times in seconds, and how many GPUs are held from each on, where nothing fails."""
    changes: dict[float, int] = {}
    for each in log:
        gang = len(each.gpus)
        for at_s, change in ((each.start_s, gang), (each.sampled_s, 1 - gang), (each.end_s, -1)):
            changes[at_s] = changes.get(at_s, 0) + change
    times_s = sorted(changes)
    held, counts = 0, []
    for at_s in times_s:
        held += changes[at_s]
        counts.append(held)
    return times_s, counts


def _draw(strip: Axes, log: list[Assignment], name: str, makespan_s: float, bound_s: float) -> None:
    times_s, counts = busy(log)
    color = PLANNED if name == PLANNER else USUAL
    hours = [at_s / 3600 for at_s in times_s]
    strip.fill_between(hours, counts, step="post", color=color, linewidth=0)
    strip.axvline(bound_s / 3600, color=BOUND, linewidth=1.0)
    strip.set_xlim(0, max(makespan_s / 3600, strip.get_xlim()[1]))
    strip.set_ylim(bottom=0)
    strip.spines[["top", "right"]].set_visible(False)
    strip.set_title(name, loc="left", fontsize=9, fontweight="bold", pad=2)
    strip.set_title(f"{makespan_s / bound_s:.2f}", loc="right", fontsize=9, color=QUIET, pad=2)
