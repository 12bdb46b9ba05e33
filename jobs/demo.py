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
        "id": "balloon-at-dusk",
        "prompt": "a purple balloon floats in the desert at dusk under a clear sky, "
        "the camera pans left",
        "seed": 5,
        "duration_s": 10.0,
    },
    {
        "id": "snow-at-sea",
        "prompt": "a yellow heart bounces over the sea at night in falling snow",
        "seed": 6,
        "duration_s": 10.0,
    },
    {
        "id": "from-dawn-to-night",
        "events": [
            {
                "start_s": 0.0,
                "prompt": "a red ball bounces over a meadow at dawn under a clear sky, "
                "the camera pans right",
            },
            {
                "start_s": 7.0,
                "prompt": "a red ball bounces over a meadow at night under a clear sky, "
                "the camera pans right",
            },
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
