"""CRC-32 of whole objects: the one checksum that every store can keep for an object in parts."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 1 << 20


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file, a megabyte at a time."""
    while data := file.read(CHUNK_BYTES):
        yield data


def crc32_of_file(path: Path) -> tuple[int, int]:
    """Size in bytes and CRC-32 of a local file."""
    size_bytes = crc32 = 0
    with path.open("rb") as file:
        for data in chunks(file):
            size_bytes += len(data)
            crc32 = zlib.crc32(data, crc32)
    return size_bytes, crc32


def to_base64(crc32: int) -> str:
    """As S3 writes it in its headers: four bytes, the highest first."""
    return base64.b64encode(crc32.to_bytes(4)).decode()


def from_base64(text: str) -> int:
    """The inverse of ``to_base64``."""
    return int.from_bytes(base64.b64decode(text))
