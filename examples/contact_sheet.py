"""One picture of many videos: a row each, frames evenly spaced in time.

python examples/contact_sheet.py out examples/demo.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pyarrow.parquet as pq
from PIL import Image

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 6
GAP_PX = 4
SCALE = 2


def frames_of(path: Path, count: int) -> list[np.ndarray]:
    """``count`` frames of a video, from its first to its last."""
    with av.open(str(path)) as container:
        total = container.streams.video[0].frames
        wanted = {round(i * (total - 1) / (count - 1)) for i in range(count)}
        decoded = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for i, frame in decoded if i in wanted]


def sheet(paths: list[Path]) -> Image.Image:
    """The videos' frames, enlarged, on white."""
    rows = [frames_of(path, COLUMNS) for path in paths]
    height, width = (SCALE * side for side in rows[0][0].shape[:2])
    size = (COLUMNS * (width + GAP_PX) - GAP_PX, len(rows) * (height + GAP_PX) - GAP_PX)
    picture = Image.new("RGB", size, "white")
    for y, row in enumerate(rows):
        for x, frame in enumerate(row):
            tile = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
            picture.paste(tile, (x * (width + GAP_PX), y * (height + GAP_PX)))
    return picture


if __name__ == "__main__":
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    results = pq.read_table(folder / "results.parquet").to_pylist()
    sheet([folder / row["key"] for row in results if row["state"] == "rendered"]).save(target)
