"""The picture of an inspection: curves with joins marked, ratios with intervals, drift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.inspection import LABELS, effect_rows, pool
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from jobs.inspection import Inspected
    from pipeline.quality.curves import Curves
    from pipeline.quality.effect import Effect

SUFFIXES = frozenset({".png", ".svg", ".pdf"})
WIDTH_IN, STRIP_IN, LEAST_HEIGHT_IN, FRAME_IN = 12.0, 1.15, 6.6, 1.2
DPI = 120
MAX_STRIPS = 8

COLORS = ("#1f4e79", "#c8553d", "#3a7d44", "#8d5a97", "#d99a2b", "#2a9d8f", "#6b705c", "#9b2226")
INK, QUIET, JOIN, BAND = "#22262b", "#8a8f98", "#d9534f", "#e8f0e4"

# Seams within 5 % go unseen: the goal for a video through ``halo``.
BAND_LOW, BAND_HIGH = 0.95, 1.05
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
SMOOTHING_S = 1.0
ENERGY_TICKS = (0.1, 0.25, 0.5, 1, 2, 4, 10, 25)
FINE_TICKS = (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4, 2)
COARSE_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def check_plot(path: Path) -> None:
    """Say what is in the way of drawing to this file, before anything is computed.

    Raises:
        ConfigError: matplotlib is not installed, no such format, or no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"--plot {path}: expected a name that ends in {', '.join(sorted(SUFFIXES))}"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"--plot {path}: its folder does not exist")
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "--plot needs matplotlib, which is not installed: pip install 'nightreel[plots]'"
        )


def draw(videos: Sequence[Inspected], path: Path) -> None:
    """Draw all videos into one picture; its format is that of the file's name.

    Raises:
        ConfigError: the file can't be written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    shown = videos[:MAX_STRIPS]
    height_in = max(LEAST_HEIGHT_IN, FRAME_IN + STRIP_IN * len(shown))
    with mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.03)
        left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
        _draw_strips(left, shown)
        forest, drifts, correlation = right.subplots(3, 1)
        _draw_forest(forest, videos)
        _draw_drift(drifts, shown)
        _draw_correlation(correlation, shown)
        try:
            figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
        except OSError as error:
            raise ConfigError(f"--plot {path}: can't be written: {error}") from error


def _draw_strips(part: Any, videos: Sequence[Inspected]) -> None:
    """Energy over its median: several videos' differences, or several measures of one video."""
    strips = _strips_of(videos[0]) if len(videos) == 1 else [_difference_of(v) for v in videos]
    plots = part.subplots(len(strips), 1, sharey=len(videos) > 1, squeeze=False)[:, 0]
    for axes, strip, color in zip(plots, strips, COLORS, strict=False):
        _draw_strip(axes, strip, color)
    plots[-1].set_xlabel("seconds (red: where windows meet)")
    part.suptitle("Energy per frame over its median", fontsize=10, color=QUIET)


@dataclass(frozen=True, slots=True)
class _Strip:
    """One curve of one video, and the ratio that it gave."""

    title: str
    video: Inspected
    log_energy: NDArray[np.float64]
    effect: Effect | None


def _difference_of(video: Inspected) -> _Strip:
    effect = video.quality.seams.frame_difference
    return _Strip(_short(video.name), video, video.curves.difference, effect)


def _strips_of(video: Inspected) -> list[_Strip]:
    curves, seams = video.curves, video.quality.seams
    return [
        _Strip(LABELS[name], video, log_energy, seams.effects[name])
        for name, log_energy in (
            ("frame_difference", curves.difference),
            ("second_difference", curves.second_difference),
            ("detail", curves.detail),
        )
    ]


def _draw_strip(axes: Any, strip: _Strip, color: str) -> None:
    curves = strip.video.curves
    for start in strip.video.joins.starts:
        axes.axvline(start / curves.fps, color=JOIN, linewidth=0.7, alpha=0.45)
    axes.axhline(1.0, color=QUIET, linewidth=0.6, linestyle=":")
    energy = np.exp(strip.log_energy - np.nanmedian(strip.log_energy))
    axes.plot(curves.times_s, energy, color=color, linewidth=0.9)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_yticks(ENERGY_TICKS, [f"{tick:g}" for tick in ENERGY_TICKS])
    axes.set_ylim(min(low, 0.45), max(high, 2.2))
    axes.minorticks_off()
    axes.set_xlim(0, curves.times_s[-1])
    axes.set_title(strip.title, pad=3)
    said = f"at joins {strip.effect.ratio:.2f} times" if strip.effect else "no joins known"
    axes.set_title(said, loc="right", fontsize=8, color=QUIET, pad=3)


def _draw_forest(axes: Any, videos: Sequence[Inspected]) -> None:
    """Every ratio with its interval, and the band in which a seam goes unseen."""
    axes.set_title("At joins over beside them (95 %)")
    whole = pool(videos) if len(videos) > 1 else videos[0].quality.seams
    rows = effect_rows(whole)
    if not rows:
        axes.text(0.5, 0.5, "no joins are known", ha="center", va="center", color=QUIET)
        axes.set_axis_off()
        return
    axes.axvspan(BAND_LOW, BAND_HIGH, color=BAND, linewidth=0)
    axes.axvline(1.0, color=QUIET, linewidth=0.6, linestyle=":")
    for index, (label, effect) in enumerate(rows):
        if len(videos) > 1:
            _draw_each(axes, videos, label, index)
        _draw_effect(axes, effect, index, INK)
    axes.set_xscale("log")
    low, high = _forest_limits(axes, [effect for _, effect in rows])
    axes.set_xlim(low, high)
    steps = FINE_TICKS if high < FINE_TICKS[-1] else COARSE_TICKS
    ticks = [tick for tick in steps if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _draw_each(axes: Any, videos: Sequence[Inspected], label: str, index: int) -> None:
    """The videos' own ratios as dots, a little below the line of all."""
    for number, video in enumerate(videos):
        own = dict(effect_rows(video.quality.seams)).get(label)
        if own is not None:
            color = COLORS[number % len(COLORS)]
            axes.plot([own.ratio], [index + 0.25], ".", color=color, markersize=5, alpha=0.8)


def _draw_effect(axes: Any, effect: Effect, index: int, color: str) -> None:
    if math.isfinite(effect.high):
        axes.plot([effect.low, effect.high], [index, index], color=color, linewidth=1.6)
    axes.plot([effect.ratio], [index], "o", color=color, markersize=5)


def _forest_limits(axes: Any, effects: Sequence[Effect]) -> tuple[float, float]:
    """Room for all that was drawn, alike on both sides, but never less than 0.8 to 1.25."""
    ends = [value for line in axes.lines for value in line.get_xdata() if np.isfinite(value)]
    reach = max(abs(math.log(end)) for end in [*ends, *(e.ratio for e in effects)] if end > 0)
    reach = min(max(1.15 * reach, math.log(1.25)), math.log(12))
    return math.exp(-reach), math.exp(reach)


def _draw_drift(axes: Any, videos: Sequence[Inspected]) -> None:
    """How far the picture has gone since the first quarter: one video in detail, or each as one."""
    axes.axhline(0.0, color=QUIET, linewidth=0.6, linestyle=":")
    if len(videos) == 1:
        axes.set_title("Drift since the first quarter")
        _draw_measures(axes, videos[0].curves)
    else:
        axes.set_title("Colour distance from the first quarter")
        for video, color in zip(videos, COLORS, strict=False):
            lab = _since_first_quarter(video.curves.lab, video.curves.fps)
            distance = np.linalg.norm(lab, axis=1)
            axes.plot(video.curves.times_s, distance, color=color, linewidth=1.2)
    axes.margins(x=0, y=0.2)
    axes.set_xlabel("seconds")
    axes.set_ylabel("CIELAB units")


def _draw_measures(axes: Any, curves: Curves) -> None:
    measures = {
        "lightness L*": (curves.lab[:, 0], COLORS[0]),
        "saturation": (curves.saturation, COLORS[1]),
        "contrast": (curves.contrast, COLORS[2]),
    }
    for label, (values, color) in measures.items():
        smooth = _since_first_quarter(values[:, None], curves.fps)
        axes.plot(curves.times_s, smooth[:, 0], color=color, linewidth=1.2, label=label)
    axes.legend(ncols=3, loc="upper left")


def _draw_correlation(axes: Any, videos: Sequence[Inspected]) -> None:
    """How alike two moments look, by the time between them."""
    axes.set_title("Correlation of 8 x 8 thumbnails")
    for video, color in zip(videos, COLORS, strict=False):
        lags_s, values = np.array(video.quality.drift.correlation).reshape(-1, 2).T
        axes.plot(lags_s, values, color=color, linewidth=1.2, marker=".", markersize=4)
    axes.axhline(0.0, color=QUIET, linewidth=0.6, linestyle=":")
    axes.set_ylim(top=1.03)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("seconds apart")


def _since_first_quarter(values: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Columns less their mean over the first quarter, each the mean over a second."""
    count = len(values)
    window = np.ones(max(1, min(count, round(fps * SMOOTHING_S))))
    num_summed = np.convolve(np.ones(count), window, mode="same")
    change = values - values[: max(1, count // 4)].mean(axis=0)
    columns = [np.convolve(column, window, mode="same") / num_summed for column in change.T]
    return np.stack(columns, axis=1)


def _short(name: str, length: int = 44) -> str:
    return name if len(name) <= length else "..." + name[3 - length :]
