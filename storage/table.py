"""Parquet objects as rows of plain values: written in bounded memory, read as a whole."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.stores import ObjectInfo, ObjectStore

ROWS_AT_ONCE: Final = 10_000
CONTENT_TYPE: Final = "application/vnd.apache.parquet"


def put_table(
    store: ObjectStore, key: str, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]
) -> ObjectInfo:
    """Replace the Parquet object at ``key`` with these rows; without rows, with an empty table.

    Rows go through a local temporary file; nothing is uploaded if ``rows`` raises.
    """
    with tempfile.TemporaryDirectory(prefix="nightreel-") as folder:
        path = Path(folder) / "table.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            waiting = iter(rows)
            while some := list(islice(waiting, ROWS_AT_ONCE)):
                writer.write_table(pa.Table.from_pylist(some, schema=schema))
        return store.put_file(key, path, content_type=CONTENT_TYPE, overwrite=True)


def read_table(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    """The rows of the Parquet object at ``key``.

    Raises:
        ObjectMissingError: there is none.
        StoreError: it can't be had.
        pa.ArrowException: it is not Parquet.
    """
    with tempfile.TemporaryDirectory(prefix="nightreel-") as folder:
        path = Path(folder) / "table.parquet"
        store.get_file(key, path)
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
