"""What a manifest reader offers, whatever the format: ids alone, and whole rows, in one order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.errors import ManifestError
from storage import columns
from storage.values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from storage.manifest_file import ManifestFile

# A line longer than this is no row of ours: a prompt has at most 10,000 characters.
MAX_LINE_BYTES: Final = 8 << 20


class Source(Protocol):
    """One manifest file, read as a stream as often as asked."""

    def __init__(self, file: ManifestFile) -> None:
        """Look at the file's head.

        Raises:
            ManifestError: not of this format, or its columns can't be a manifest's.
        """
        ...

    def ids(self) -> Iterator[str | None]:
        """The id of every row as text, ``None`` where a row has none.

        Raises:
            ManifestError: the file is damaged.
        """
        ...

    def rows(self) -> Iterator[Mapping[str, object] | Unreadable]:
        """Every row by column, with Python's own values; a row that can't be decoded as such.

        Raises:
            ManifestError: the file is damaged.
        """
        ...


def check_columns(names: Iterable[str], where: str) -> None:
    """Refuse a header that lacks a required column or has one that nobody would read.

    Raises:
        ManifestError: naming the column and what was probably meant.
    """
    present = list(names)
    for name in present:
        if present.count(name) > 1:
            raise ManifestError(f"{where}: column {name!r} stands there twice")
    for name in columns.unknown(present):
        raise ManifestError(f"{where}: column {name!r}: {columns.advice(name)}")
    if problem := columns.missing(present):
        raise ManifestError(f"{where}: {problem}")


def parse_json(text: str | bytes) -> Any:
    """A JSON value, or ``Unreadable``; a key that stands twice in an object is an error."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError:
        return Unreadable("not valid UTF-8")
    except ValueError as error:
        shown = text if isinstance(text, str) else text[:1000].decode("utf-8", "replace")
        return Unreadable(f"not valid JSON: {error}", shown)
    except RecursionError:
        return Unreadable("not valid JSON: nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result
