"""Reads a JSONL manifest: one JSON object a line; blank lines are no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ManifestError
from storage import columns
from storage.source import MAX_LINE_BYTES, parse_json
from storage.values import Unreadable, id_text, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from storage.manifest_file import ManifestFile

_BOM = b"\xef\xbb\xbf"


class JsonlSource:
    """A ``storage.source.Source``. Unknown keys are each row's own fault, found by its reader."""

    def __init__(self, file: ManifestFile) -> None:
        self._file = file

    def ids(self) -> Iterator[str | None]:
        """See ``Source.ids``; at the end, a required column that no row has is an error."""
        names: set[str] = set()
        good = False
        for row in self.rows():
            if isinstance(row, Unreadable):
                yield None
                continue
            good = True
            names.update(name for name in row if name in columns.COLUMNS)
            yield id_text(row.get("id"))
        if good and (problem := columns.missing(names)):
            raise ManifestError(f"{self._file.uri}: in no row: {problem}")

    def rows(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See ``Source.rows``."""
        with self._file.open() as file:
            for line in _lines(file):
                if isinstance(line, Unreadable):
                    yield line
                elif line.strip():
                    yield _row(line)


def _row(line: bytes) -> Mapping[str, object] | Unreadable:
    value = parse_json(line)
    if isinstance(value, dict | Unreadable):
        return value
    return Unreadable(f"expected a JSON object, got {type_name(value)}")


def _lines(file: BinaryIO) -> Iterator[bytes | Unreadable]:
    first = True
    while line := file.readline(MAX_LINE_BYTES):
        if first:
            line, first = line.removeprefix(_BOM), False
        if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield Unreadable(f"a line of more than {MAX_LINE_BYTES} bytes")
