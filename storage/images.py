"""Images that a manifest names: read only from where the job's configuration allows it.

A row may name any URI; what it says is checked after symbolic links, ``..`` and escapes are
resolved, and only files and objects are read, never more than the limit. Whatever is wrong with one
image is that row's fault, refusals by the server included; that the server can't be reached is not.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import (
    ConfigError,
    ImageError,
    ObjectCorruptError,
    ObjectMissingError,
    StoreAccessError,
)
from storage.connection import connect
from storage.location import parse_location
from storage.s3_errors import translated
from storage.s3_reader import read_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_s3 import S3Client

    from storage.connection import S3Options
    from storage.location import Location


class ImageSource:
    """Reads images under allowed prefixes; connects to S3 when the first of them is asked for."""

    def __init__(self, allowed_prefixes: Sequence[str], s3: S3Options, max_bytes: int) -> None:
        """Understand the prefixes.

        Args:
            allowed_prefixes: folders, ``file://`` and ``s3://`` URIs; all below them may be read.
            s3: how to reach S3.
            max_bytes: of one image.

        Raises:
            ConfigError: a prefix can't be understood.
        """
        self._prefixes = [_prefix(uri) for uri in allowed_prefixes]
        self._s3, self._max_bytes = s3, max_bytes
        self._client: S3Client | None = None

    def read(self, uri: str) -> bytes:
        """The bytes of one image.

        Raises:
            ImageError: it is not under an allowed prefix, is not there, may not be read, is too
                large or is no plain file.
            StoreError: the server can't be reached.
        """
        try:
            location = parse_location(uri)
        except ConfigError as error:
            raise ImageError(str(error)) from error
        if location.scheme == "s3":
            return self._object(location)
        return self._file(Path(location.path))

    def _object(self, location: Location) -> bytes:
        inside = any(
            prefix.scheme == "s3"
            and prefix.bucket == location.bucket
            and f"{location.path}/".startswith(f"{prefix.path}/" if prefix.path else "")
            for prefix in self._prefixes
        )
        if not inside:
            raise self._refused()
        if self._client is None:
            self._client = connect(self._s3)
        bucket, key = location.bucket, location.path
        try:
            with translated(location.uri):
                head = self._client.head_object(Bucket=bucket, Key=key)
            size_bytes, etag = head["ContentLength"], head["ETag"]
            self._check_size(size_bytes)
            return read_range(self._client, bucket, key, start=0, end=size_bytes, etag=etag)
        except (ObjectMissingError, ObjectCorruptError, StoreAccessError) as error:
            raise ImageError(f"can't be read: {error}") from error

    def _file(self, path: Path) -> bytes:
        try:
            real = path.resolve(strict=True)
            folders = [Path(p.path).resolve() for p in self._prefixes if p.scheme == "file"]
            if not any(real.is_relative_to(folder) for folder in folders):
                raise self._refused()
            return self._plain_file(real)
        except ImageError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            if not self._is_inside(path):
                raise self._refused() from error
            raise ImageError(f"can't be read: {_reason(error)}") from error

    def _plain_file(self, path: Path) -> bytes:
        """Never waits for a pipe or a device, and follows no link that was put there since."""
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise ImageError("no plain file")
            self._check_size(found.st_size)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(self._max_bytes + 1)
        finally:
            os.close(handle)

    def _is_inside(self, path: Path) -> bool:
        """By its name alone: what is outside is not even told to be missing."""
        name = Path(os.path.normpath(path))
        return any(name.is_relative_to(p.path) for p in self._prefixes if p.scheme == "file")

    def _check_size(self, size_bytes: int) -> None:
        if not 0 < size_bytes <= self._max_bytes:
            raise ImageError(f"{size_bytes} bytes, expected 1 to image.max_bytes={self._max_bytes}")

    def _refused(self) -> ImageError:
        allowed = ", ".join(prefix.uri for prefix in self._prefixes) or "nothing"
        return ImageError(f"not under image.allowed_prefixes, which allow {allowed}")


def _prefix(uri: str) -> Location:
    try:
        return parse_location(uri)
    except ConfigError as error:
        raise ConfigError(f"image.allowed_prefixes = {uri}: {error}") from error


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
