"""Uploads one large file to S3 in parts: every part checked by the server, all or nothing visible.

s3transfer can't do this: it takes no ``If-None-Match``.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import ObjectCorruptError, ObjectMissingError, StoreError
from storage.backoff import retry
from storage.checksum import to_base64
from storage.s3_errors import ConflictError, NotSupportedError, translated
from storage.s3_object import body_check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from storage.connection import S3Options
    from storage.s3_object import NewObject

LOG = logging.getLogger("nightreel.storage.s3")

MAX_PARTS: Final = 10_000
PART_ATTEMPTS: Final = 5
_MIB: Final = 1 << 20
_FULL_OBJECT: Final = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}


def part_bytes_for(size_bytes: int, wanted_bytes: int) -> int:
    """A part size, in whole MiB, at which the file has no more parts than S3 takes."""
    needed = -(-size_bytes // MAX_PARTS)
    return max(wanted_bytes, -(-needed // _MIB) * _MIB)


@dataclass(slots=True)
class PartUpload:
    """Uploads files with one client; remembers what its server can't do.

    Attributes:
        full_object: the server takes a checksum of the whole object besides those of the parts.
    """

    client: S3Client
    options: S3Options
    full_object: bool = True

    def __post_init__(self) -> None:
        self.full_object = self._checksums

    @property
    def _checksums(self) -> bool:
        return self.options.checksums == "when_supported"

    def upload(self, new: NewObject, path: Path, guard: dict[str, Any]) -> None:
        """Send a file and make it visible; on any failure nothing of it stays behind.

        Args:
            new: what to write.
            path: the file with its content.
            guard: conditions for the last request, such as ``If-None-Match``.

        Raises:
            ObjectCorruptError: the file changed meanwhile.
            StoreError: the server refused or can't be reached.
        """
        upload_id = self._begin(new)
        with ExitStack() as undo:
            undo.callback(self._abort, new, upload_id)
            parts = self._send_parts(new, path, upload_id)
            self._complete(new, upload_id, parts, guard)
            undo.pop_all()

    def size_of(self, bucket: str, key: str, upload_id: str) -> int:
        """Bytes of the parts that an unfinished upload holds; 0 if it is gone by now."""
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=bucket, Key=key, UploadId=upload_id
        )
        try:
            with translated(f"s3://{bucket}/{key}"):
                return sum(part["Size"] for page in pages for part in page.get("Parts", []))
        except (ConflictError, ObjectMissingError):
            return 0

    def _begin(self, new: NewObject) -> str:
        if self.full_object:
            try:
                return self._create(
                    new, {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
                )
            except NotSupportedError:
                self.full_object = False
        return self._create(new, {})

    def _create(self, new: NewObject, checksum: dict[str, Any]) -> str:
        with translated(new.where):
            return self.client.create_multipart_upload(**new.headers, **checksum)["UploadId"]

    def _send_parts(self, new: NewObject, path: Path, upload_id: str) -> list[dict[str, Any]]:
        size_bytes = crc32 = 0
        sent: list[dict[str, Any]] = []
        with ThreadPoolExecutor(self.options.upload_threads, "s3-upload") as pool:
            waiting: deque[Future[dict[str, Any]]] = deque()
            for number, data in enumerate(self._parts(path), 1):
                size_bytes += len(data)
                crc32 = zlib.crc32(data, crc32)
                if len(waiting) == self.options.upload_threads:
                    sent.append(waiting.popleft().result())
                waiting.append(pool.submit(self._send, new, upload_id, number, data))
            sent.extend(future.result() for future in waiting)
        if (size_bytes, crc32) != (new.size_bytes, new.crc32):
            raise ObjectCorruptError(f"{path}: changed while it was uploaded to {new.where}")
        return sent

    def _parts(self, path: Path) -> Iterator[bytes]:
        size = part_bytes_for(path.stat().st_size, self.options.part_bytes)
        with path.open("rb") as file:
            while data := file.read(size):
                yield data

    def _send(self, new: NewObject, upload_id: str, number: int, data: bytes) -> dict[str, Any]:
        check: Any = body_check(data, checksums=self._checksums)

        def send() -> str:
            with translated(f"{new.where}, part {number}"):
                answer = self.client.upload_part(
                    Bucket=new.bucket,
                    Key=new.key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=data,
                    **check,
                )
            return answer["ETag"]

        etag = retry(send, PART_ATTEMPTS, (ObjectCorruptError,))
        part = {"PartNumber": number, "ETag": etag}
        return {**part, **check} if self.full_object else part

    def _complete(
        self, new: NewObject, upload_id: str, parts: list[dict[str, Any]], guard: dict[str, Any]
    ) -> None:
        check: dict[str, Any] = {"MpuObjectSize": new.size_bytes}
        if self.full_object:
            check |= {"ChecksumCRC32": to_base64(new.crc32), "ChecksumType": "FULL_OBJECT"}
        with translated(new.where):
            self.client.complete_multipart_upload(
                Bucket=new.bucket,
                Key=new.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
                **check,
                **guard,
            )

    def _abort(self, new: NewObject, upload_id: str) -> None:
        """Give the parts back; if that fails too, ``sweep_unfinished`` finds them later."""
        try:
            with translated(new.where):
                self.client.abort_multipart_upload(
                    Bucket=new.bucket, Key=new.key, UploadId=upload_id
                )
        except StoreError as error:
            LOG.warning("parts are left behind: %s", error)
