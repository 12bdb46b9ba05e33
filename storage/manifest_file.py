"""The files of a manifest: found in a folder or under an S3 prefix, opened for reading."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

from pipeline.errors import ManifestError, ManifestMissingError
from storage.checksum import chunks
from storage.patterns import fixed_folder, has_wildcards, matches

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
EXPECTED: Final = "expected .parquet, .csv or .jsonl"


class ManifestFile(Protocol):
    """One file of a manifest, wherever it lies."""

    @property
    def name(self) -> str:
        """Its name relative to the manifest, or its own name if it is the manifest."""
        ...

    @property
    def uri(self) -> str:
        """Where it lies, for messages."""
        ...

    def open(self) -> BinaryIO:
        """Open it for reading from the start; seekable.

        Raises:
            ManifestError: it is gone, can't be read, or has changed since it was found.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalManifestFile:
    """A manifest file on a disk."""

    path: Path
    name: str
    size_bytes: int
    modified_ns: int

    @property
    def uri(self) -> str:
        """The path."""
        return str(self.path)

    def open(self) -> BinaryIO:
        """Open it, if it still is the file that was found."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise ManifestError(f"{self.path}: can't be read: {error.strerror}") from error
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.modified_ns):
            file.close()
            raise ManifestError(f"{self.path}: changed while it was being read")
        return cast("BinaryIO", file)


def find_local(path: Path) -> list[ManifestFile]:
    """The files of a local manifest in the order of their names.

    Args:
        path: a file, a folder, or, if there is neither, a pattern with wildcards.

    Raises:
        ManifestMissingError: nothing there, or an empty folder.
        ManifestError: it can't be read, or a file of no known kind is in the folder.
    """
    try:
        if path.is_dir():
            names = chosen(_inside(path), str(path))
            return [_found(path / name, name) for name in names]
        if has_wildcards(str(path)) and not path.exists():
            folder = Path(fixed_folder(str(path)) or "/")
            pattern = str(path.relative_to(folder))
            matching = [name for name in _inside(folder) if matches(pattern, name)]
            if not matching:
                raise ManifestMissingError(f"{path}: nothing matches; {EXPECTED}")
            names = chosen(matching, str(path))
            return [_found(folder / name, name) for name in names]
        return [_found(path, path.name)]
    except FileNotFoundError as error:
        raise ManifestMissingError(f"{path}: no such file or folder; {EXPECTED}") from error
    except OSError as error:
        raise ManifestError(f"{path}: can't be read: {error.strerror}") from error


def _inside(folder: Path) -> list[str]:
    """Names of all files below a folder, relative to it; none if there is no such folder."""
    return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]


def _found(path: Path, name: str) -> LocalManifestFile:
    status = path.stat()
    return LocalManifestFile(path, name, status.st_size, status.st_mtime_ns)


def chosen(names: Iterable[str], folder: str) -> list[str]:
    """The names of a folder's manifest files, sorted; hidden ones and ``_SUCCESS`` are no part.

    Raises:
        ManifestMissingError: there is none.
        ManifestError: there is one of no known kind: to skip it might lose its rows.
    """
    visible = sorted(n for n in names if not any(part[:1] in "._" for part in n.split("/")))
    if not visible:
        raise ManifestMissingError(f"{folder}: no files in this folder; {EXPECTED}")
    for name in visible:
        if format_of(name) is None:
            raise ManifestError(f"{folder}: holds {name!r}; {EXPECTED} files only")
    return visible


def format_of(name: str) -> str | None:
    """``parquet``, ``csv`` or ``jsonl`` by a name's suffix."""
    return SUFFIXES.get(Path(name).suffix.lower())


def digest_of(files: Iterable[ManifestFile]) -> str:
    """A hash of all content, in order; reads everything once."""
    total = hashlib.blake2b(digest_size=16)
    for file in files:
        each = hashlib.blake2b(digest_size=16)
        with file.open() as content:
            for data in chunks(content):
                each.update(data)
        total.update(each.digest())
    return total.hexdigest()
