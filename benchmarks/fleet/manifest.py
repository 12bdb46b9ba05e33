"""A night of short videos of mixed lengths, the same every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from pipeline.world.captions import caption
from pipeline.world.scene import sample_scene

if TYPE_CHECKING:
    from pathlib import Path

SEED = 7
# Seconds of film; a third of them shorter than one window.
DURATIONS_S = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


def write_manifest(path: Path, num_videos: int) -> float:
    """Write a manifest of so many videos; their length together in seconds."""
    rng = np.random.default_rng(SEED)
    rows = [
        {
            "id": f"video-{number:03d}",
            "prompt": caption(sample_scene(SEED * 1000 + number), rng),
            "seed": number,
            "duration_s": float(rng.choice(DURATIONS_S)),
        }
        for number in range(num_videos)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return sum(float(str(row["duration_s"])) for row in rows)
