"""One video, measured: ``measure(path, joins)`` is what the quality gate calls before an upload."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import VideoFileError
from pipeline.quality.curves import trace
from pipeline.quality.drift import Drift, drift
from pipeline.quality.effect import Effect, join_effect, mean_effect
from pipeline.quality.fold import Fold, fold
from pipeline.quality.frames import open_video
from pipeline.quality.health import Health, health
from pipeline.quality.joins import Joins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.quality.curves import Curves


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """How much stronger each measure is at the joins than beside them; ``None``: no joins.

    Attributes:
        frame_difference: D1, energy of the first difference in time: cuts (above 1), cross-fades
            (below).
        second_difference: D2, energy of the second difference: a change of pace, or of grain.
        detail: E, energy of the Laplacian: blur (below 1) where windows are blended.
        warp_error: what motion can't explain.
        periodicity: FOLD, the F of the difference folded at the joins' period over its value by
            chance.
    """

    frame_difference: Effect | None = None
    second_difference: Effect | None = None
    detail: Effect | None = None
    warp_error: Effect | None = None
    periodicity: Effect | None = None

    @property
    def effects(self) -> Mapping[str, Effect | None]:
        """All by name."""
        return {name: getattr(self, name) for name in SEAM_MEASURES}


SEAM_MEASURES = (
    *("frame_difference", "second_difference", "detail", "warp_error"),
    "periodicity",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoQuality:
    """All figures of one video.

    Attributes:
        num_frames, fps, width, height: what was read.
        num_joins: places where windows meet.
        period_frames: the usual distance of two joins.
        seams: joins against what lies beside them.
        fold: the figures behind ``seams.periodicity``.
        drift: first against last.
        health: whether it is a picture at all.
    """

    num_frames: int
    fps: float
    width: int
    height: int
    num_joins: int
    period_frames: int | None
    seams: Seams
    fold: Fold | None
    drift: Drift
    health: Health

    @property
    def duration_s(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps


def as_plain(figures: VideoQuality | Seams) -> dict[str, Any]:
    """Figures as plain values for JSON; what is unknown or unbounded is ``None``."""
    plain: dict[str, Any] = _plain(asdict(figures))
    return plain


def as_figures(quality: VideoQuality) -> dict[str, float]:
    """The figures that a ledger keeps, each a finite number under a name of its own."""
    figures = {"num_joins": float(quality.num_joins), **asdict(quality.health)}
    for name, effect in quality.seams.effects.items():
        if effect is not None:
            ends = {"ratio": effect.ratio, "low": effect.low, "high": effect.high}
            figures |= {f"{name}_{end}": value for end, value in ends.items()}
    figures["color_distance"] = quality.drift.color_distance
    return {name: round(value, 6) for name, value in figures.items() if math.isfinite(value)}


def measure(path: Path, joins: Joins | None = None) -> VideoQuality:
    """Decode a video once and measure it.

    Args:
        path: any video file.
        joins: where windows meet, as ``joins_of(...)`` says; ``None``: not known.

    Raises:
        VideoFileError: the file can't be read, or is too short to be measured.
    """
    joins = joins or Joins()
    return assess(trace_file(path, joins), joins)


def trace_file(path: Path, joins: Joins) -> Curves:
    """All curves of a video file; see ``measure``."""
    with open_video(path) as video:
        try:
            return trace(video.frames, video.fps, warp_frames(joins))
        except VideoFileError as error:
            if str(path) in str(error):
                raise
            raise VideoFileError(f"{path}: {error}") from error


def assess(curves: Curves, joins: Joins) -> VideoQuality:
    """The figures of curves that were traced with these joins."""
    folded = fold(curves.difference, joins)
    width, height = curves.size_px
    return VideoQuality(
        num_frames=curves.num_frames,
        fps=curves.fps,
        width=width,
        height=height,
        num_joins=len(joins),
        period_frames=joins.period_frames,
        seams=Seams(
            frame_difference=join_effect(curves.difference, joins),
            # A jump between two frames is in two second differences.
            second_difference=join_effect(curves.second_difference, joins, (0, 1)),
            detail=join_effect(curves.detail, joins),
            warp_error=join_effect(curves.warp_error, joins),
            periodicity=folded.effect if folded else None,
        ),
        fold=folded,
        drift=drift(curves),
        health=health(curves),
    )


def warp_frames(joins: Joins) -> frozenset[int]:
    """Where the warp error is needed: at the joins and beside them."""
    return frozenset(
        frame for join in joins.joins for frame in (*join.frames, *join.before, *join.after)
    )


def pooled(videos: Sequence[VideoQuality]) -> Seams:
    """The seams of several videos together: each video's ratio counts once, whatever its length."""
    return Seams(
        **{name: _pooled([video.seams.effects[name] for video in videos]) for name in SEAM_MEASURES}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _pooled(effects: Sequence[Effect | None]) -> Effect | None:
    return mean_effect([effect.log_ratio for effect in effects if effect is not None])
