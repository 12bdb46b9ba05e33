"""An object store under a prefix of an S3 bucket, on AWS or any server that speaks S3.

Every body is checked by the server against a checksum sent with it; files are looked at again
after the upload. Requests are tried again by botocore (throttling, 5xx, timeouts, lost
connections), whole writes by this module (another writer at the same key). A write whose answer
got lost is told from another writer's by a token in the object's metadata.

Needed permissions: get, put and delete objects, list the bucket (without it S3 says "forbidden"
for an object that isn't there), abort multipart uploads.
"""

from __future__ import annotations

import logging
import zlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ObjectCorruptError, ObjectExistsError, ObjectMissingError
from pipeline.stores import ObjectInfo
from storage.backoff import retry
from storage.checksum import crc32_of_file
from storage.connection import S3Options, connect
from storage.keys import checked
from storage.local_errors import named
from storage.s3_errors import ConflictError, NotSupportedError, translated
from storage.s3_object import WRITE_NAME, NewObject, body_check, crc32_of
from storage.s3_reader import read_range, read_whole
from storage.s3_upload import PartUpload
from storage.stored import StoredObject, UnfinishedWrite
from storage.unfinished import fill, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    from storage.location import Location

LOG = logging.getLogger("nightreel.storage.s3")

WRITE_ATTEMPTS: Final = 5
DOWNLOAD_BYTES: Final = 16 << 20
# Whoever checks wants an answer now: a night is not at stake yet.
CHECK_ATTEMPTS: Final = 5
CHECK_KEY: Final = ".nightreel-check"
_ONLY_NEW: Final[dict[str, Any]] = {"IfNoneMatch": "*"}


class S3Store:
    """A ``pipeline.stores.ObjectStore`` in a bucket. Safe for threads; pickles as its recipe."""

    def __init__(self, location: Location, options: S3Options) -> None:
        self._location = location
        self._options = options
        self._client = connect(options)
        self._uploads = PartUpload(self._client, options)
        self._conditional = options.conditional_writes != "off"

    def __reduce__(self) -> tuple[type[S3Store], tuple[Location, S3Options]]:
        return S3Store, (self._location, self._options)

    def __repr__(self) -> str:
        return f"S3Store({self.uri} at {self._client.meta.endpoint_url})"

    @property
    def uri(self) -> str:
        """Bucket and prefix as an ``s3://`` URI."""
        return self._location.uri

    @property
    def creates_atomically(self) -> bool:
        """AWS decides between rivals; other servers may look first and write then."""
        return self._conditional and self._options.endpoint_url is None

    def put_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Write a small object in one request; see ``ObjectStore.put_bytes``."""
        new = self._new(key, content_type, {}, len(data), zlib.crc32(data))
        self._write(new, partial(self._put, new, data), overwrite=overwrite)
        return ObjectInfo(key, new.size_bytes, new.crc32)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Upload a file, in parts if large, and look at it again; see ``ObjectStore.put_file``."""
        size_bytes, crc32 = crc32_of_file(path)
        new = self._new(key, content_type, metadata or {}, size_bytes, crc32)
        if size_bytes > self._options.multipart_threshold_bytes:
            write = partial(self._uploads.upload, new, path)
        else:
            write = partial(self._put, new, path.read_bytes())
        self._write(new, write, overwrite=overwrite)
        return self._verified(key, new)

    def get_bytes(self, key: str) -> bytes:
        """Read a whole small object; see ``ObjectStore.get_bytes``."""
        name = self._key(checked(key))
        return read_whole(self._client, self._location.bucket, name, self._where(key))

    def get_file(self, key: str, path: Path) -> ObjectInfo:
        """Download to ``path``, which then is whole and checked, or unchanged."""
        head = self._head(key)
        expected = crc32_of(head)
        with named(path.parent.as_uri(), path.name), unfinished(path.parent) as temporary:
            size_bytes, crc32 = fill(temporary, self._pieces(key, head))
            if expected is not None and crc32 != expected:
                raise ObjectCorruptError(
                    f"{self._where(key)}: CRC-32 is {crc32:08x}, the store says {expected:08x}"
                )
            temporary.replace(path)
        return ObjectInfo(key, size_bytes, crc32)

    def head(self, key: str) -> ObjectInfo | None:
        """Size, and the checksum that the server or the writer noted; a missing bucket is None."""
        try:
            head = self._head(key)
        except ObjectMissingError:
            return None
        return ObjectInfo(key, head["ContentLength"], crc32_of(head))

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with ``prefix``, in lexicographic order, a page at a time."""
        return (found.key for found in self.list_objects(prefix))

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """The same with sizes and ages."""
        root = self._key("")
        with translated(self._where(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket, Prefix=root + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(root)
                    yield StoredObject(key, item["Size"], item["LastModified"])

    def delete(self, key: str) -> None:
        """Remove an object; see ``ObjectStore.delete``."""
        with translated(self._where(key)):
            self._client.delete_object(Bucket=self._location.bucket, Key=self._key(checked(key)))

    def check(self) -> None:
        """List one object, begin an upload and give it up again: nothing ever shows.

        Raises:
            StoreAccessError: wrong credentials, or no permission to list or write.
            StoreUnavailableError: no such bucket, or no connection.
        """
        bucket, key = self._location.bucket, self._key(CHECK_KEY)
        attempts = min(CHECK_ATTEMPTS, self._options.max_attempts)
        client = connect(replace(self._options, max_attempts=attempts))
        with translated(f"{self.uri} at {client.meta.endpoint_url}"):
            client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
            begun = client.create_multipart_upload(Bucket=bucket, Key=key)
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=begun["UploadId"])

    def list_unfinished(self, prefix: str) -> Iterator[UnfinishedWrite]:
        """Multipart uploads under a prefix that were neither completed nor aborted."""
        bucket, root = self._location.bucket, self._key("")
        with translated(self._where(prefix)):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=bucket, Prefix=root + prefix
            )
            for page in pages:
                for item in page.get("Uploads", []):
                    key, handle = item["Key"], item["UploadId"]
                    size_bytes = self._uploads.size_of(bucket, key, handle)
                    shown = key.removeprefix(root)
                    yield UnfinishedWrite(shown, size_bytes, item["Initiated"], handle)

    def discard(self, write: UnfinishedWrite) -> None:
        """Abort an upload; no error if it is gone."""
        with suppress(ConflictError, ObjectMissingError), translated(self._where(write.key)):
            self._client.abort_multipart_upload(
                Bucket=self._location.bucket, Key=self._key(write.key), UploadId=write.handle
            )

    def sweep_unfinished(self, older_than_s: float, prefix: str = "") -> int:
        """Abort uploads that were begun at least ``older_than_s`` ago; how many there were."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        dead = [write for write in self.list_unfinished(prefix) if write.begun_at <= limit]
        for write in dead:
            self.discard(write)
        return len(dead)

    def _key(self, key: str) -> str:
        return f"{self._location.path}/{key}" if self._location.path else key

    def _where(self, key: str) -> str:
        return f"{self.uri}/{key} at {self._client.meta.endpoint_url}"

    def _new(
        self, key: str, content_type: str, metadata: Mapping[str, str], size_bytes: int, crc32: int
    ) -> NewObject:
        return NewObject(
            bucket=self._location.bucket,
            key=self._key(checked(key)),
            where=self._where(key),
            content_type=content_type,
            metadata=metadata,
            size_bytes=size_bytes,
            crc32=crc32,
        )

    def _head(self, key: str) -> HeadObjectOutputTypeDef:
        mode: Any = (
            {"ChecksumMode": "ENABLED"} if self._options.checksums == "when_supported" else {}
        )
        with translated(self._where(key)):
            return self._client.head_object(
                Bucket=self._location.bucket, Key=self._key(checked(key)), **mode
            )

    def _pieces(self, key: str, head: HeadObjectOutputTypeDef) -> Iterator[bytes]:
        size_bytes = head["ContentLength"]
        for start in range(0, size_bytes, DOWNLOAD_BYTES):
            yield read_range(
                self._client,
                self._location.bucket,
                self._key(key),
                start=start,
                end=min(start + DOWNLOAD_BYTES, size_bytes),
                etag=head["ETag"],
            )

    def _put(self, new: NewObject, data: bytes, guard: dict[str, Any]) -> None:
        check: Any = body_check(data, checksums=self._options.checksums == "when_supported")

        def put() -> None:
            with translated(new.where):
                self._client.put_object(**new.headers, Body=data, **check, **guard)

        retry(put, WRITE_ATTEMPTS, (ObjectCorruptError,))

    def _write(
        self, new: NewObject, write: Callable[[dict[str, Any]], None], *, overwrite: bool
    ) -> None:
        """Write once and for all, however often it takes."""

        def attempt() -> None:
            if overwrite:
                write({})
            elif not self._taken(new):
                self._create(new, write)

        retry(attempt, WRITE_ATTEMPTS, (ConflictError,))

    def _create(self, new: NewObject, write: Callable[[dict[str, Any]], None]) -> None:
        if self._conditional:
            try:
                return write(_ONLY_NEW)
            except ObjectExistsError:
                if self._taken(new):
                    return None
                raise
            except NotSupportedError:
                if self._options.conditional_writes == "on":
                    raise
                LOG.warning("%s: no conditional writes here; looking first instead", new.where)
                self._conditional = False
        return write({})

    def _taken(self, new: NewObject) -> bool:
        """Whether this very write has made the object already, its answer having got lost.

        Raises:
            ObjectExistsError: the object is there, and another write made it.
        """
        try:
            with translated(new.where):
                head = self._client.head_object(Bucket=new.bucket, Key=new.key)
        except ObjectMissingError:
            return False
        if head["Metadata"].get(WRITE_NAME) == new.write:
            return True
        raise ObjectExistsError(f"{new.where}: already there, and this write must not replace it")

    def _verified(self, key: str, new: NewObject) -> ObjectInfo:
        info = self.head(key)
        if info != ObjectInfo(key, new.size_bytes, new.crc32):
            raise ObjectCorruptError(
                f"{new.where}: after the upload the store has {info}, "
                f"expected {new.size_bytes} bytes with CRC-32 {new.crc32:08x}"
            )
        return info
