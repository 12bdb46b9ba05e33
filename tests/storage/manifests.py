"""Writes manifests for tests, one set of rows in every format."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.manifest import Manifest, ManifestRow
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EVENTS = pa.list_(pa.struct({"start_s": pa.float64(), "prompt": pa.string()}))
TYPES: dict[str, pa.DataType] = {
    "id": pa.string(),
    "prompt": pa.string(),
    "events": EVENTS,
    "negative_prompt": pa.string(),
    "seed": pa.int64(),
    "duration_s": pa.float64(),
    "num_frames": pa.int64(),
    "width": pa.int64(),
    "height": pa.int64(),
    "fps": pa.float64(),
    "num_inference_steps": pa.int64(),
    "guidance_scale": pa.float64(),
    "guidance_scale_2": pa.float64(),
    "image": pa.string(),
    "priority": pa.int64(),
    "deadline": pa.timestamp("ns", tz="Europe/Berlin"),
    "metadata": pa.map_(pa.string(), pa.string()),
}
FORMATS = ("parquet", "csv", "jsonl")
Row = dict[str, Any]


def write(path: Path, rows: Sequence[Row], types: Mapping[str, pa.DataType] | None = None) -> Path:
    """Write rows in the format of the path's suffix; columns are those that any row has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["id", "prompt"]
    if path.suffix == ".parquet":
        chosen = {name: (types or TYPES).get(name, pa.string()) for name in names}
        table = pa.Table.from_pylist([_arrow(row) for row in rows], schema=pa.schema(chosen))
        pq.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return path


def read(path: Path | str) -> tuple[dict[str, ManifestRow], list[Rejection]]:
    """Good rows by id, and rejections."""
    rows = list(Manifest.open(str(path)).rows())
    good = {row.spec.id: row for row in rows if isinstance(row, ManifestRow)}
    return good, [row for row in rows if isinstance(row, Rejection)]


def _arrow(row: Row) -> Row:
    metadata = row.get("metadata")
    return {**row, "metadata": list(metadata.items())} if isinstance(metadata, dict) else row


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value
