"""An object about to be written to S3: its name, its content's size and checksum, its headers."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from storage.checksum import from_base64, to_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

# Kept with the object, because not every server gives checksums back.
CRC32_NAME: Final = "nightreel-crc32"
# Says which write made the object: how a writer knows its own after a lost answer.
WRITE_NAME: Final = "nightreel-write"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewObject:
    """What is to be written, and a name for this one write.

    Attributes:
        bucket, key: where; the key with the store's prefix.
        where: the same for messages.
        content_type: as HTTP says it.
        metadata: of the author's.
        size_bytes, crc32: of the whole content.
        write: unique to this write.
    """

    bucket: str
    key: str
    where: str
    content_type: str
    metadata: Mapping[str, str]
    size_bytes: int
    crc32: int
    write: str = field(default_factory=lambda: uuid4().hex)

    @property
    def headers(self) -> dict[str, Any]:
        """What goes with the object, whole or in parts."""
        own = {CRC32_NAME: f"{self.crc32:08x}", WRITE_NAME: self.write}
        return {
            "Bucket": self.bucket,
            "Key": self.key,
            "ContentType": self.content_type,
            "Metadata": {**self.metadata, **own},
        }


def body_check(data: bytes, *, checksums: bool) -> dict[str, str]:
    """The header by which the server refuses a body that was damaged on its way."""
    if checksums:
        return {"ChecksumCRC32": to_base64(zlib.crc32(data))}
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {"ContentMD5": base64.b64encode(md5).decode()}


def crc32_of(head: HeadObjectOutputTypeDef) -> int | None:
    """The whole object's CRC-32: the server's own if it keeps one, else what the writer noted."""
    own = head.get("ChecksumCRC32")
    if own and "-" not in own and head.get("ChecksumType") != "COMPOSITE":
        return from_base64(own)
    noted = head["Metadata"].get(CRC32_NAME, "")
    return int(noted, 16) if len(noted) == 8 and _is_hex(noted) else None


def _is_hex(text: str) -> bool:
    return all(c in "0123456789abcdef" for c in text)
