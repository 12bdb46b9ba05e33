"""Reads one S3 object as a seekable file, range by range, and notices if it changes meanwhile."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from pipeline.errors import ManifestError, ObjectCorruptError, StoreUnavailableError
from storage.backoff import retry
from storage.s3_errors import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

# A round trip costs tens of milliseconds, about as long as a megabyte takes.
BUFFER_BYTES: Final = 1 << 20
BODY_ATTEMPTS: Final = 5


class S3RangeReader(io.RawIOBase):
    """The raw file; use ``open_object``, which buffers it."""

    def __init__(self, client: S3Client, bucket: str, key: str, size_bytes: int, etag: str) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._key = key
        self._size_bytes = size_bytes
        self._etag = etag
        self._place = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; costs nothing until the next read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size_bytes}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: object) -> int:
        """Read one range.

        Raises:
            ManifestError: the object is another one than when it was opened.
            StoreError: the server refused or can't be reached.
        """
        target = memoryview(cast("bytearray", buffer)).cast("B")
        end = min(self._place + len(target), self._size_bytes)
        if end <= self._place:
            return 0
        try:
            data = read_range(
                self._client,
                self._bucket,
                self._key,
                start=self._place,
                end=end,
                etag=self._etag,
            )
        except ObjectCorruptError as error:
            raise ManifestError(str(error)) from error
        target[: len(data)] = data
        self._place += len(data)
        return len(data)


class BrokenAnswerError(StoreUnavailableError):
    """The answer began well and then broke off, which botocore doesn't try again."""


def read_range(
    client: S3Client, bucket: str, key: str, *, start: int, end: int, etag: str
) -> bytes:
    """Bytes ``start`` to ``end`` (not included) of an object; broken answers are asked for again.

    Raises:
        ObjectCorruptError: the object's ETag is not ``etag``.
        StoreError: the server refused or can't be reached.
    """
    where = f"s3://{bucket}/{key}"

    def read() -> bytes:
        with translated(where):
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")
        if answer["ETag"] != etag:
            raise ObjectCorruptError(f"{where}: changed while it was being read")
        return _body(answer, end - start, where)

    return retry(read, BODY_ATTEMPTS, (BrokenAnswerError,))


def read_whole(client: S3Client, bucket: str, key: str, where: str) -> bytes:
    """All of a small object in one request.

    Raises:
        ObjectMissingError: there is none.
        StoreError: the server refused or can't be reached.
    """

    def read() -> bytes:
        with translated(where):
            answer = client.get_object(Bucket=bucket, Key=key)
        return _body(answer, answer["ContentLength"], where)

    return retry(read, BODY_ATTEMPTS, (BrokenAnswerError,))


def _body(answer: GetObjectOutputTypeDef, size_bytes: int, where: str) -> bytes:
    try:
        with translated(where):
            data = answer["Body"].read()
    except StoreUnavailableError as error:
        raise BrokenAnswerError(str(error)) from error
    if len(data) != size_bytes:
        raise BrokenAnswerError(f"{where}: got {len(data)} bytes, expected {size_bytes}")
    return data


def open_object(client: S3Client, bucket: str, key: str, size_bytes: int, etag: str) -> BinaryIO:
    """An object as a buffered, seekable file for reading."""
    raw = S3RangeReader(client, bucket, key, size_bytes, etag)
    return cast("BinaryIO", io.BufferedReader(raw, BUFFER_BYTES))
