"""Small manifests for tests, and the settings that render them quickly on the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.engines.gaussian import GaussianOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH_PX = 64
HEIGHT_PX = 32
FPS = 16
ORACLE = GaussianOptions(channels=4, window_latent_frames=9)
# Several windows, two actors, a moment's work.
SMALL = (
    "engine.name=gaussian",
    f"engine.gaussian.channels={ORACLE.channels}",
    f"engine.gaussian.window_latent_frames={ORACLE.window_latent_frames}",
    "encode.preset=ultrafast",
    "gang.actors=2",
)
# For a cluster of its own.
OWN_CLUSTER = ("ray.num_cpus=2", f"ray.object_store_memory_bytes={100 << 20}")

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "prompt": pa.string(),
        "seed": pa.int64(),
        "num_frames": pa.int64(),
        "duration_s": pa.float64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "fps": pa.float64(),
        "num_inference_steps": pa.int32(),
        "priority": pa.int32(),
    }
)


def row(video_id: str | None, **columns: Any) -> dict[str, Any]:
    """A good row of 101 frames, and what is to be different."""
    good: dict[str, Any] = {
        "id": video_id,
        "prompt": "a red ball",
        "seed": 1,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "num_inference_steps": 4,
    }
    if "duration_s" not in columns:
        good["num_frames"] = 101
    return good | columns


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write a manifest."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path)
    return path
