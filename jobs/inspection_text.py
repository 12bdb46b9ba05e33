"""What ``nightreel inspect`` prints: a paragraph per video, and a table over all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from jobs.inspection import effect_rows, pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from jobs.inspection import Inspected
    from pipeline.quality.drift import Trend
    from pipeline.quality.effect import Effect
    from pipeline.quality.measure import Seams

TREND_LABELS = {
    "lightness": "lightness L*",
    "green_red": "green to red a*",
    "blue_yellow": "blue to yellow b*",
    "saturation": "saturation",
    "contrast": "contrast",
    "sharpness": "sharpness (log)",
}


def report(videos: Sequence[Inspected]) -> Iterator[RenderableType]:
    """Everything in the order in which it is printed."""
    for video in videos:
        yield Text(video.name, style="bold")
        yield Text(_facts(video))
        if video.joins:
            yield seam_table(video.quality.seams, "joins")
        yield _drift_table(video)
        yield Text(_health(video) + "\n")
    if len(videos) > 1 and effect_rows(pool(videos)):
        yield Text(f"all {len(videos)} videos", style="bold")
        yield seam_table(pool(videos), "videos")


def seam_table(seams: Seams, counted: str) -> Table:
    """A row per measure: ratio, interval, and whether 1 is outside it."""
    table = _table("at joins over beside them", "ratio", "95 % (* not 1)", counted)
    for label, effect in effect_rows(seams):
        table.add_row(label, f"{effect.ratio:.2f}", interval(effect), str(effect.count))
    return table


def interval(effect: Effect) -> str:
    """Its ends, with a star if 1 is not between them."""
    if not math.isfinite(effect.high):
        return "one value alone"
    return f"{effect.low:.2f} .. {effect.high:.2f}" + (" *" if effect.tells_a_seam else "")


def _facts(video: Inspected) -> str:
    quality = video.quality
    size = f"{quality.width}x{quality.height}"
    length = f"{quality.duration_s:.1f} s, {quality.num_frames} frames of {size}"
    every = f", one every {quality.period_frames} frames" if quality.period_frames else ""
    return f"{length} at {quality.fps:g} fps; {quality.num_joins} joins{every} ({video.joins_from})"


def _drift_table(video: Inspected) -> Table:
    table = _table("drift", "mean", "per minute", "last quarter - first")
    for name, trend in video.quality.drift.trends.items():
        table.add_row(TREND_LABELS[name], *_figures(trend))
    table.add_row("colour distance", "", "", f"{video.quality.drift.color_distance:.2f}")
    return table


def _figures(trend: Trend) -> tuple[str, str, str]:
    return f"{trend.mean:.2f}", f"{trend.per_minute:+.2f}", f"{trend.first_to_last:+.2f}"


def _health(video: Inspected) -> str:
    health, correlation = video.quality.health, video.quality.drift.correlation
    shares = ", ".join(
        f"{name} {getattr(health, f'{name}_share'):.0%}"
        for name in ("black", "flat", "saturated", "frozen")
    )
    jump = f"largest jump {health.largest_jump:.1f} times its surroundings"
    text = f"frames: {shares}; {jump} at {health.largest_jump_s:.1f} s"
    if correlation:
        lag_s, value = correlation[-1]
        text += f"; thumbnails {lag_s:.1f} s apart correlate by {value:.2f}"
    return text


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(first, min_width=26)
    for other in others:
        table.add_column(other, justify="right")
    return table
