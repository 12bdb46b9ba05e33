"""The gate: what no video may be that is delivered, whatever it was to show.

A limit is for what has gone wrong in the making: arithmetic that overflowed to black or to one
flat colour, a decoder that repeats itself, guidance that burnt every pixel to an end of its scale,
windows that do not meet. It is not for taste: a night, a fog, a still life pass. Each share counts
only frames that are wrong beyond doubt (see ``health``), and its limit leaves room for a fade.

Seams are only judged where the boundary mode promises that there are none (``halo`` and
``consensus``), and by the lower end of the interval: a few unlucky joins prove nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, QualityError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.boundary import BoundaryModeName
    from pipeline.quality.measure import VideoQuality

SEAMLESS_MODES = frozenset({"halo", "consensus"})
JUDGED_SEAMS = ("frame_difference", "second_difference", "detail", "warp_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOptions:
    """What a finished video may at most be; the limit itself still passes.

    Attributes:
        gate: whether a video over a limit fails; its figures are recorded either way.
        max_black_share: share of frames without light.
        max_flat_share: share of frames of a single colour, black among them.
        max_saturated_share: share of frames nearly all of whose pixels are clipped.
        max_frozen_share: share of frames that are the one before, to the last grain. Not
            judged where frames are repeated on purpose (``defaults.retime``).
        max_join_ratio: how many times as strong as beside them anything at the joins may be, by the
            lower end of the 95 % interval.
    """

    gate: bool = True
    max_black_share: float = 0.9
    max_flat_share: float = 0.5
    max_saturated_share: float = 0.5
    max_frozen_share: float = 0.98
    max_join_ratio: float = 4.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_share") and not 0 <= value <= 1:
                raise ConfigError(f"quality.{field.name} = {value}: expected a share from 0 to 1")
        if math.isnan(self.max_join_ratio) or self.max_join_ratio < 1:
            raise ConfigError(
                f"quality.max_join_ratio = {self.max_join_ratio}: expected a ratio of at least 1"
            )


def judge(
    quality: VideoQuality, options: QualityOptions, mode: BoundaryModeName, *, retimed: bool
) -> None:
    """Let a video pass or say why not.

    Args:
        quality: what was measured.
        options: the limits.
        mode: how the video's windows were joined.
        retimed: whether frames were repeated or dropped on purpose.

    Raises:
        QualityError: with the first figure that is over its limit.
    """
    if not options.gate:
        return
    for figure, value, limit in _judged(quality, mode, retimed=retimed):
        if value > getattr(options, limit):
            raise QualityError(figure, value, f"quality.{limit}", getattr(options, limit))


def _judged(
    quality: VideoQuality, mode: BoundaryModeName, *, retimed: bool
) -> Iterator[tuple[str, float, str]]:
    """Figure, value and name of the limit, the plainest faults first."""
    for name in ("black", "flat", "saturated", "frozen"):
        if name != "frozen" or not retimed:
            yield f"{name}_share", getattr(quality.health, f"{name}_share"), f"max_{name}_share"
    if mode not in SEAMLESS_MODES:
        return
    for name in JUDGED_SEAMS:
        effect = quality.seams.effects[name]
        if effect is not None:
            yield f"{name}_at_joins", effect.low, "max_join_ratio"
