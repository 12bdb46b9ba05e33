"""``results.parquet``: the ledger as one table, a row per video, in the order of the keys."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from pipeline.errors import ObjectCorruptError, ObjectMissingError
from storage import keys
from storage.record import LedgerRecord
from storage.table import put_table, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.stores import ObjectInfo, ObjectStore

LOG = logging.getLogger("nightreel.storage.results")

_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "id": pa.string(),
    "state": pa.string(),
    "key": pa.string(),
    "fingerprint": pa.string(),
    "attempt": pa.int32(),
    "size_bytes": pa.int64(),
    "crc32": pa.uint32(),
    "num_frames": pa.int64(),
    "duration_s": pa.float64(),
    "width": pa.int32(),
    "height": pa.int32(),
    "fps": pa.float64(),
    "kept": pa.string(),
    "started_at": pa.string(),
    "finished_at": pa.string(),
    "engine": pa.string(),
    "numerics_version": pa.string(),
    "job": pa.string(),
    "error": pa.string(),
    "message": pa.string(),
    "quality": pa.map_(pa.string(), pa.float64()),
}
SCHEMA: Final = pa.schema(_COLUMNS)
assert {f.name for f in fields(LedgerRecord)} == set(SCHEMA.names)


def put_results(store: ObjectStore, records: Iterable[LedgerRecord]) -> ObjectInfo:
    """Write ``results.parquet`` anew, usually from ``Ledger.latest()``."""
    return put_table(store, keys.RESULTS, SCHEMA, map(_row, records))


def read_results(store: ObjectStore) -> dict[str, LedgerRecord]:
    """The records that ``results.parquet`` holds, by id; none if it is missing or can't be read.

    It is the ledger as some run left it: good for sparing requests, not for what is so now.
    """
    try:
        rows = read_table(store, keys.RESULTS)
        records = [LedgerRecord(**row | {"quality": dict(row["quality"])}) for row in rows]
    except ObjectMissingError:
        return {}
    except (pa.ArrowException, ObjectCorruptError, TypeError, KeyError, AssertionError) as error:
        LOG.warning("%s/%s can't be read: %s", store.uri, keys.RESULTS, error)
        return {}
    return {record.id: record for record in records}


def _row(record: LedgerRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in SCHEMA.names}
    values["quality"] = list(record.quality.items())
    return values
