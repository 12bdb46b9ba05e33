"""Rows that can't be rendered, and ``rejected.parquet``, where their author finds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from pipeline.errors import ObjectCorruptError, ObjectMissingError
from storage import keys
from storage.table import put_table, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.errors import RequestError
    from pipeline.stores import ObjectInfo, ObjectStore

# Enough to recognise a value; a prompt of megabytes must not be copied into a report.
MAX_VALUE_LENGTH: Final = 120

_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "row": pa.int64(),
    "id": pa.string(),
    "column": pa.string(),
    "value": pa.string(),
    "reason": pa.string(),
    "file": pa.string(),
}
SCHEMA: Final = pa.schema(_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A manifest row that won't be rendered, and why.

    Attributes:
        row: the row's number in its file, from 1; a CSV file's header is not counted.
        id: the row's id as far as it has one.
        column: the column at fault; empty if the row as a whole can't be read.
        value: what was found there, as short text; ``None`` for a null.
        reason: what was expected, in one sentence.
        file: which file of the manifest, relative to the manifest.
    """

    row: int
    id: str | None
    column: str
    value: str | None
    reason: str
    file: str

    def __str__(self) -> str:
        name = f" ({self.id})" if self.id else ""
        found = f" = {self.value}" if self.value is not None else ""
        return f"{self.file}, row {self.row}{name}: {self.column or 'row'}{found}: {self.reason}"


def rejection(error: RequestError, *, row: int, video_id: str | None, file: str) -> Rejection:
    """The rejection of one row for one error."""
    return Rejection(
        row=row,
        id=None if video_id is None else short_text(video_id),
        column=error.column,
        value=None if error.value is None else short_text(error.value),
        reason=error.reason,
        file=file,
    )


def short_text(value: object) -> str:
    """A value as printable text of bounded length, text without quotes."""
    text = value if isinstance(value, str) else repr(value)
    shown = text[: MAX_VALUE_LENGTH + 1].encode("utf-8", "backslashreplace").decode()
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return shown if len(shown) <= MAX_VALUE_LENGTH else shown[: MAX_VALUE_LENGTH - 3] + "..."


def put_rejected(store: ObjectStore, rejections: Iterable[Rejection]) -> ObjectInfo:
    """Write ``rejected.parquet`` anew; an empty table says that every row was good."""
    return put_table(store, keys.REJECTED, SCHEMA, map(asdict, rejections))


def read_rejected(store: ObjectStore) -> list[Rejection]:
    """What the last run on this store rejected; nothing if no run got so far.

    Raises:
        StoreError: the store refused.
    """
    try:
        return [Rejection(**row) for row in read_table(store, keys.REJECTED)]
    except ObjectMissingError:
        return []
    except (pa.ArrowException, TypeError) as error:
        raise ObjectCorruptError(f"{store.uri}/{keys.REJECTED}: can't be read: {error}") from error
