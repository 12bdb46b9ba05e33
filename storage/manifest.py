"""A manifest: rows to render, read as a stream, each either checked or rejected with its reason.

    manifest = Manifest.open("s3://bucket/prompts/", s3=options)
    for row in manifest.rows():
        if isinstance(row, Rejection): ...      # goes to rejected.parquet
        else: render(row.spec)                  # or row.reject(error) if the engine can't

Opening reads the ids alone, once, to find the repeated ones; reading the rows holds a few hundred
at a time. A fault of one row is a Rejection; a fault of the whole is a ManifestError.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, ManifestError, RequestError
from storage.connection import S3Options
from storage.csv_source import CsvSource
from storage.jsonl_source import JsonlSource
from storage.location import parse_location
from storage.manifest_file import EXPECTED, ManifestFile, digest_of, find_local, format_of
from storage.parquet_source import MAGIC, ParquetSource
from storage.rejected import Rejection, rejection
from storage.repeated import RepeatedIds
from storage.row import read_row
from storage.s3_manifest import find_s3
from storage.values import Unreadable, id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.request import VideoSpec
    from storage.source import Source

REPEATED: Final = "this id stands in more than one row; none of them is rendered"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """A row that is good as far as the manifest alone can tell.

    Attributes:
        row: the row's number in its file, from 1.
        file: which file of the manifest.
        spec: the video to render.
    """

    row: int
    file: str
    spec: VideoSpec

    def reject(self, error: RequestError) -> Rejection:
        """The rejection of this row for what the job or the engine found wrong with it."""
        return rejection(error, row=self.row, video_id=self.spec.id, file=self.file)


class Manifest:
    """One or more files of rows, opened and known to be readable.

    Attributes:
        uri: where it lies.
        num_rows: rows in all, good and bad.
        num_repeated_ids: how many different ids stand in more than one row.
    """

    def __init__(
        self, uri: str, files: Sequence[tuple[ManifestFile, Source]], repeated: RepeatedIds
    ) -> None:
        self.uri = uri
        self.num_rows = repeated.num_rows
        self.num_repeated_ids = len(repeated)
        self._files = files
        self._repeated = repeated

    @classmethod
    def open(cls, uri: str, *, s3: S3Options | None = None) -> Manifest:
        """Find the files, check their columns and read their ids.

        Args:
            uri: a path, ``file://`` or ``s3://`` URI of a file, of a folder of files, or with
                wildcards (see ``storage.patterns``).
            s3: how to reach S3.

        Raises:
            ManifestMissingError: nothing is there.
            ManifestError: of no known format, damaged, a required column missing, an
                unknown column, or a column of the wrong type.
            StoreError: the S3 server refused or can't be reached.
        """
        files = find_files(uri, s3 or S3Options())
        sources = [(file, _source(file)) for file in files]
        repeated = RepeatedIds(name for _, source in sources for name in source.ids())
        return cls(parse_location(uri).uri, sources, repeated)

    @cached_property
    def digest(self) -> str:
        """A hash of the manifest's content; reads it whole the first time.

        Raises:
            ManifestError: a file is gone or has changed since the manifest was opened.
        """
        return digest_of(file for file, _ in self._files)

    def rows(self) -> Iterator[ManifestRow | Rejection]:
        """Every row, in order, as often as asked.

        Raises:
            ManifestError: a file is damaged, gone or has changed since the manifest was opened.
        """
        for file, source in self._files:
            for number, values in enumerate(source.rows(), 1):
                yield self._checked(file.name, number, values)

    def _checked(
        self, file: str, row: int, values: Mapping[str, object] | Unreadable
    ) -> ManifestRow | Rejection:
        video_id = None if isinstance(values, Unreadable) else id_text(values.get("id"))
        try:
            return ManifestRow(row=row, file=file, spec=self._spec(values, video_id))
        except RequestError as error:
            return rejection(error, row=row, video_id=video_id, file=file)

    def _spec(self, values: Mapping[str, object] | Unreadable, video_id: str | None) -> VideoSpec:
        if isinstance(values, Unreadable):
            raise RequestError("", values.text, values.reason)
        if video_id is not None and video_id in self._repeated:
            raise RequestError("id", video_id, REPEATED)
        return read_row(values)


def find_files(uri: str, s3: S3Options) -> list[ManifestFile]:
    """The files that a manifest's URI stands for, unread.

    Raises:
        ManifestMissingError: there are none.
        ManifestError: a file of no known kind is among them.
        StoreError: the S3 server refused or can't be reached.
    """
    try:
        location = parse_location(uri)
    except ConfigError as error:
        raise ManifestError(f"manifest: {error}") from error
    if location.scheme == "s3":
        return find_s3(location, s3)
    return find_local(Path(location.path))


def _source(file: ManifestFile) -> Source:
    kind = format_of(file.name) or _sniffed(file)
    if kind == "parquet":
        return ParquetSource(file)
    return CsvSource(file) if kind == "csv" else JsonlSource(file)


def _sniffed(file: ManifestFile) -> str:
    """A file without a telling name is Parquet if it begins like it."""
    with file.open() as content:
        head = content.read(len(MAGIC))
    if head != MAGIC:
        raise ManifestError(f"{file.uri}: not Parquet, and no known suffix; {EXPECTED}")
    return "parquet"
