"""Temporary files next to where they will lie for good: whole under their name, or never there."""

from __future__ import annotations

import os
import secrets
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TEMPORARY: Final = ".nightreel-unfinished-"
# A store's ``delete`` prunes empty folders, possibly between another writer's mkdir and its open.
_OPEN_TRIES: Final = 20


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """An empty temporary file in ``folder``, gone at the end unless it got another name."""
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    for tries_left in reversed(range(_OPEN_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            break
        except (FileNotFoundError, FileExistsError):
            if not tries_left:
                raise
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def fill(path: Path, data: Iterable[bytes]) -> tuple[int, int]:
    """Write ``data`` to a file, down to the disk; its size in bytes and its CRC-32."""
    size_bytes = crc32 = 0
    with path.open("wb") as file:
        for piece in data:
            file.write(piece)
            size_bytes += len(piece)
            crc32 = zlib.crc32(piece, crc32)
        file.flush()
        os.fsync(file.fileno())
    return size_bytes, crc32
