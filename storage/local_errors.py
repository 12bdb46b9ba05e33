"""What the operating system's errors mean to a store in a folder."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    ObjectMissingError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEANINGS: Final[dict[int, tuple[type[StoreError], str]]] = {
    errno.ENOSPC: (StoreFullError, "no space left on the disk; nothing was written"),
    errno.EDQUOT: (StoreFullError, "disk quota used up; nothing was written"),
    errno.EFBIG: (StoreFullError, "larger than the disk allows a file to be; nothing was written"),
    errno.EACCES: (StoreAccessError, "permission denied"),
    errno.EPERM: (StoreAccessError, "operation not permitted"),
    errno.EROFS: (StoreAccessError, "the file system is read-only"),
    errno.ENOENT: (ObjectMissingError, "no such object"),
    errno.EISDIR: (ObjectMissingError, "a folder lies there, not an object"),
    errno.ENOTDIR: (StoreError, "a file lies where a folder is needed"),
    errno.EEXIST: (StoreError, "a file lies where a folder is needed"),
}


@contextmanager
def named(uri: str, key: str) -> Iterator[None]:
    """Turn an ``OSError`` inside into the StoreError that says what happened to which object.

    Raises:
        StoreFullError: disk full, quota used up, file too large.
        StoreAccessError: no permission, or a read-only file system.
        ObjectMissingError: there is no such object.
        StoreUnavailableError: anything else, such as an input/output error or a stale mount.
    """
    try:
        yield
    except OSError as error:
        kind, meaning = _MEANINGS.get(
            error.errno or 0, (StoreUnavailableError, error.strerror or str(error))
        )
        raise kind(f"{uri}/{key}: {meaning}") from error
