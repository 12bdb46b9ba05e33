"""Reads a Parquet manifest a few hundred rows at a time, whatever the size of its row groups."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ManifestError
from storage.column_types import check_type
from storage.columns import COLUMNS
from storage.source import check_columns, parse_json
from storage.values import Unreadable, id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from storage.manifest_file import ManifestFile

MAGIC: Final = b"PAR1"
ROWS_AT_ONCE: Final = 512
IDS_AT_ONCE: Final = 8192
# Column chunks are streamed through a buffer of this size, never read whole.
BUFFER_BYTES: Final = 1 << 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ParquetSource:
    """A ``storage.source.Source``."""

    def __init__(self, file: ManifestFile) -> None:
        self._file = file
        with file.open() as content:
            head = content.read(len(MAGIC))
        if head != MAGIC:
            raise ManifestError(
                f"{file.uri}: not Parquet: it begins with {head!r}, expected {MAGIC!r}"
            )
        with self._opened() as parquet:
            schema = parquet.schema_arrow
        check_columns(schema.names, file.uri)
        self._columns = [name for name in schema.names if name in COLUMNS]
        for name in self._columns:
            check_type(name, schema.field(name).type, file.uri)

    def ids(self) -> Iterator[str | None]:
        """See ``Source.ids``."""
        for batch in self._batches(["id"], IDS_AT_ONCE):
            yield from map(id_text, _values(batch.column(0)))

    def rows(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See ``Source.rows``."""
        for batch in self._batches(self._columns, ROWS_AT_ONCE):
            names = batch.schema.names
            for values in zip(*map(_cells, names, batch.columns), strict=True):
                yield dict(zip(names, values, strict=True))

    def _batches(self, columns: list[str], rows_at_once: int) -> Iterator[pa.RecordBatch]:
        with self._opened() as parquet:
            yield from parquet.iter_batches(rows_at_once, columns=columns, use_threads=False)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            with self._file.open() as content:
                yield pq.ParquetFile(content, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{self._file.uri}: damaged Parquet: {error}") from error


def _cells(name: str, column: pa.Array[Any]) -> list[Any]:
    kind = COLUMNS[name]
    if kind == "time":
        return _times(column)
    values = _values(column)
    if kind in {"events", "metadata"}:
        return [parse_json(value) if isinstance(value, str) else value for value in values]
    return values


def _values(column: pa.Array[Any]) -> list[Any]:
    """Python values; Arrow leaves UTF-8 unchecked, and one bad text must not spoil the others."""
    try:
        return column.to_pylist()
    except (UnicodeDecodeError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar[Any]) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return Unreadable("not valid UTF-8")
    except (pa.ArrowException, ValueError, OverflowError) as error:
        return Unreadable(f"not readable: {error}")


def _times(column: pa.Array[Any]) -> list[Any]:
    """Timestamps as ISO text; those outside Python's years stay numbers, which no reader takes."""
    if not pa.types.is_timestamp(column.type) and not pa.types.is_date(column.type):
        return _values(column)
    ticks = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    return [None if tick is None else _iso(tick) for tick in ticks.to_pylist()]


def _iso(microseconds: int) -> str | int:
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:
        return microseconds
