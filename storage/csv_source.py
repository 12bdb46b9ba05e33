"""Reads a CSV manifest: UTF-8, header, commas; events and metadata as JSON; empty means null."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Final

from pipeline.errors import ManifestError
from storage.columns import COLUMNS, Kind
from storage.source import MAX_LINE_BYTES, check_columns, parse_json
from storage.values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from storage.manifest_file import ManifestFile

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,30}\s*")
_NUMBER: Final = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


class CsvSource:
    """A ``storage.source.Source``."""

    def __init__(self, file: ManifestFile) -> None:
        self._file = file
        with self._text() as text:
            header = next(csv.reader(_lines(text, file.uri), strict=True), None)
        if header is None:
            raise ManifestError(f"{file.uri}: empty; expected a header line with 'id' and 'prompt'")
        self._header = [name.strip() for name in header]
        check_columns(self._header, file.uri)

    def ids(self) -> Iterator[str | None]:
        """See ``Source.ids``."""
        place = self._header.index("id")
        for cells in self._cells():
            yield None if isinstance(cells, Unreadable) else cells[place] or None

    def rows(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """See ``Source.rows``."""
        for cells in self._cells():
            if isinstance(cells, Unreadable):
                yield cells
                continue
            yield {
                name: parse_cell(COLUMNS[name], cell)
                for name, cell in zip(self._header, cells, strict=True)
                if cell and name in COLUMNS
            }

    def _cells(self) -> Iterator[list[str] | Unreadable]:
        with self._text() as text:
            reader = csv.reader(_lines(text, self._file.uri), strict=True)
            next(reader, None)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Unreadable(f"not valid CSV: {error}")
                    continue
                if not cells:
                    continue
                if len(cells) != len(self._header):
                    reason = f"{len(cells)} cells, the header has {len(self._header)}"
                    yield Unreadable(reason, ",".join(cells))
                    continue
                yield cells

    def _text(self) -> io.TextIOWrapper:
        # Bytes that are no UTF-8 become surrogates, which the row's own reader refuses.
        return io.TextIOWrapper(
            self._file.open(), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )


def parse_cell(kind: Kind, cell: str) -> object:
    """A cell's value; text that is no number stays text, and the row's reader says so."""
    if kind in {"events", "metadata"}:
        return parse_json(cell)
    if kind in {"whole number", "number"}:
        if _WHOLE.fullmatch(cell):
            return int(cell)
        if _NUMBER.fullmatch(cell):
            return float(cell)
    return cell


def _lines(text: TextIO, where: str) -> Iterator[str]:
    """Lines of bounded length, so that a file without line ends can't fill the memory."""
    number = 0
    while line := text.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES:
            raise ManifestError(f"{where}: line {number} has over {MAX_LINE_BYTES} characters")
        yield line
