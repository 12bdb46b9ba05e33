"""The example: a handful of videos for the embedded model, as a manifest.

``examples/demo.parquet`` holds exactly these rows; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

ROWS: tuple[dict[str, Any], ...] = (
    {
        "id": "bouncing-ball",
        "prompt": "A red ball bounces over a meadow on a clear day. The camera pans right.",
        "seed": 7,
        "duration_s": 10.0,
    },
    {
        "id": "desert-balloon",
        "prompt": "At dusk a purple balloon floats over the desert.",
        "seed": 21,
        "duration_s": 10.0,
    },
    {
        "id": "from-dawn-to-night",
        "prompt": "A yellow star orbits over the sea.",
        "events": [
            {"start_s": 0.0, "prompt": "It is dawn."},
            {"start_s": 7.0, "prompt": "It is night."},
        ],
        "seed": 4,
        "duration_s": 14.0,
    },
)

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "prompt": pa.string(),
        "events": pa.list_(pa.struct([("start_s", pa.float64()), ("prompt", pa.string())])),
        "seed": pa.int64(),
        "duration_s": pa.float64(),
    }
)


def write_manifest(path: Path) -> None:
    """Write the example manifest as Parquet."""
    pq.write_table(pa.Table.from_pylist(list(ROWS), schema=SCHEMA), path)
