"""The tables of nights, as Markdown, and what they must show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.night.measurement import PLANNER, fixed
from benchmarks.night.settings import FIXED_GANGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.night.measurement import Measured

MAX_RATIO = 1.05
MAX_PLANNED_S = 30.0

RULES = (PLANNER, *(fixed(gang) for gang in FIXED_GANGS))


def nights_table(measured: Sequence[Measured]) -> str:
    """One row per night: makespans over the lower bound."""
    headings = ("videos", "GPUs", "videos a GPU", "lower bound", *RULES, "planned in")
    lines = [_row(headings), _row(["---:"] * len(headings))]
    return "\n".join(lines + [_row(_figures(each)) for each in measured])


def trouble_table(measured: Sequence[Measured]) -> str:
    """One row per night in which things fail: what failed under the planner."""
    headings = ("videos", "GPUs", "processes that died", "nodes lost", "gangs broken up")
    lines = [_row(headings), _row(["---:"] * len(headings))]
    for each in measured:
        night, setting = each.trouble, each.setting
        counts = (night.num_process_deaths, night.num_node_losses, night.num_broken_gangs)
        sizes = (setting.num_videos, setting.num_gpus)
        lines.append(_row([f"{number:,}" for number in (*sizes, *counts)]))
    return "\n".join(lines)


def verdicts(measured: Sequence[Measured]) -> str:
    """What must hold, each as a line with its worst figure."""
    full = max(each.ratio(PLANNER) for each in measured if each.setting.is_full)
    gain = min(
        each.best_fixed / each.ratio(PLANNER) for each in measured if not each.setting.is_full
    )
    largest = max(each.setting.num_videos for each in measured)
    planned_s = max(each.planned_s for each in measured if each.setting.num_videos == largest)
    return "\n".join(
        [
            f"- ten videos a GPU or more, nothing fails: at most {full:.3f} times the lower bound; "
            f"{MAX_RATIO:g} is allowed: {_holds(full <= MAX_RATIO)}",
            f"- few videos, or things fail: the best of the fixed gangs takes {gain:.3f} times as "
            f"long as the planner, or more: {_holds(gain > 1)}",
            f"- {largest:,} videos are planned and simulated in at most {planned_s:.1f} s of one "
            f"core; {MAX_PLANNED_S:g} s are allowed: {_holds(planned_s < MAX_PLANNED_S)}",
        ]
    )


def _figures(each: Measured) -> list[str]:
    setting = each.setting
    return [
        f"{setting.num_videos:,}",
        f"{setting.num_gpus:,}",
        f"{setting.num_videos / setting.num_gpus:.3g}",
        f"{each.bound_s / 3600:.2f} h",
        f"**{each.ratio(PLANNER):.3f}**",
        *(f"{each.ratio(fixed(gang)):.3f}" for gang in FIXED_GANGS),
        f"{each.planned_s:.1f} s",
    ]


def _holds(is_so: bool) -> str:
    return "holds" if is_so else "does NOT hold"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
