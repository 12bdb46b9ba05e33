"""The four modes around a join, side by side: one row each, frames left and right of the border.

Shape suffixes: H height, W width; the last axis is RGB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt

from pipeline.quality.frames import open_video

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from jobs.inspection import Inspected

# Frames that are shown, counted from the first frame after the join.
OFFSETS = (-5, -3, -2, -1, 0, 1, 2, 4)


def save_joins(videos: Mapping[str, tuple[Path, Inspected]], path: Path) -> None:
    """Write the picture: the join nearest to each video's middle."""
    mpl.use("Agg")
    figure, grid = plt.subplots(
        len(videos), len(OFFSETS), figsize=(2 * len(OFFSETS), 1.35 * len(videos)), squeeze=False
    )
    for index, (row, (mode, (file, video))) in enumerate(zip(grid, videos.items(), strict=True)):
        join = _middle(video.joins.starts, video.quality.num_frames)
        shown = _frames(file, [join + offset for offset in OFFSETS])
        for axes, offset, frame in zip(row, OFFSETS, shown, strict=True):
            axes.imshow(frame, interpolation="bicubic")
            axes.set_xticks([])
            axes.set_yticks([])
            for name, spine in axes.spines.items():
                spine.set_visible(name == "left" and offset == 0)
                spine.set(color="#d62728", linewidth=4)
            axes.set_title(f"{offset:+d}" if index == 0 else "", fontsize=9)
        row[0].set_ylabel(mode, fontsize=12)
    figure.suptitle("frames before and after a join (red line)", fontsize=11)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _middle(starts: Sequence[int], num_frames: int) -> int:
    return min(starts, key=lambda start: abs(start - num_frames // 2))


def _frames(file: Path, wanted: Sequence[int]) -> list[NDArray[np.uint8]]:
    """The wanted frames ``[H, W, 3]``, in ascending order."""
    with open_video(file) as video:
        return [frame for index, frame in enumerate(video.frames) if index in set(wanted)]
