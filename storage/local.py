"""An object store in a local folder, or in a shared one that every node mounts.

An object is a file. It is written under a temporary name in its own folder, flushed to the disk
and then linked to its name, so it is visible whole or not at all, and a create-only write of a
name that is taken fails, whoever else is writing. ``head`` reads the file: the checksum it gives
is of the bytes that are there now.

Not kept: content types and metadata. Where the file system has no hard links, create-only is a
check before the rename, which two writers at the same instant can both pass.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pipeline.errors import ObjectExistsError
from pipeline.stores import ObjectInfo
from storage.checksum import chunks, crc32_of_file
from storage.keys import checked
from storage.local_errors import named
from storage.stored import StoredObject, UnfinishedWrite
from storage.unfinished import TEMPORARY, fill, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

LOG = logging.getLogger("nightreel.storage.local")

_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class LocalStore:
    """A ``pipeline.stores.ObjectStore`` in a folder; it is made on the first write.

    Safe for any number of threads, processes and, on a shared file system, nodes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._has_hard_links = True

    def __repr__(self) -> str:
        return f"LocalStore({self.uri})"

    @property
    def uri(self) -> str:
        """The root folder as a ``file://`` URI."""
        return self._root.as_uri()

    @property
    def creates_atomically(self) -> bool:
        """True, until a file system turns out to have no hard links."""
        return self._has_hard_links

    def put_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",  # noqa: ARG002
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Write a small object; see ``ObjectStore.put_bytes``."""
        return self._write(key, (data,), overwrite=overwrite)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",  # noqa: ARG002
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Copy a file in; see ``ObjectStore.put_file``."""
        with path.open("rb") as source:
            return self._write(key, chunks(source), overwrite=overwrite)

    def get_bytes(self, key: str) -> bytes:
        """Read a whole object; see ``ObjectStore.get_bytes``."""
        with named(self.uri, key):
            return self._path(key).read_bytes()

    def get_file(self, key: str, path: Path) -> ObjectInfo:
        """Copy an object out to ``path``, which then is whole or unchanged."""
        with named(self.uri, key), self._path(key).open("rb") as source:
            with unfinished(path.parent) as temporary:
                size_bytes, crc32 = fill(temporary, chunks(source))
                temporary.replace(path)
            return ObjectInfo(key, size_bytes, crc32)

    def head(self, key: str) -> ObjectInfo | None:
        """Size and checksum of what is there now; reads the whole file."""
        path = self._path(key)
        with named(self.uri, key):
            if not path.is_file():
                return None
            try:
                size_bytes, crc32 = crc32_of_file(path)
            except FileNotFoundError:
                return None
            return ObjectInfo(key, size_bytes, crc32)

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Keys that begin with ``prefix``, in lexicographic order, without unfinished writes."""
        folder = prefix.rpartition("/")[0]
        if folder:
            checked(folder)
        with named(self.uri, prefix):
            for key in _walk(self._root / folder, f"{folder}/" if folder else "", prefix):
                if not _is_temporary(key):
                    yield key

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Objects under a prefix with size and age; one that goes away meanwhile is left out."""
        for key in self.list_keys(prefix):
            with suppress(FileNotFoundError):
                stat = (self._root / key).stat()
                modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield StoredObject(key, stat.st_size, modified_at)

    def delete(self, key: str) -> None:
        """Remove an object, and the folders that are empty without it."""
        path = self._path(key)
        with named(self.uri, key):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._root or not _removed_if_empty(folder):
                    return

    def check(self) -> None:
        """Write and remove a temporary file.

        Raises:
            StoreAccessError: the folder can't be made or written to.
            StoreFullError: the disk is full.
        """
        with named(self.uri, "a test file"), unfinished(self._root) as temporary:
            fill(temporary, (b"nightreel",))

    def list_unfinished(self, prefix: str) -> Iterator[UnfinishedWrite]:
        """Temporary files of writers, alive or dead, under a prefix."""
        folder = prefix.rpartition("/")[0]
        with named(self.uri, "unfinished writes"):
            for key in _walk(self._root / folder, f"{folder}/" if folder else "", prefix):
                if not _is_temporary(key):
                    continue
                with suppress(FileNotFoundError):
                    stat = (self._root / key).stat()
                    begun_at = datetime.fromtimestamp(stat.st_mtime, UTC)
                    yield UnfinishedWrite(key, stat.st_size, begun_at, key)

    def discard(self, write: UnfinishedWrite) -> None:
        """Remove a temporary file, and the folders that are empty without it."""
        self.delete(write.handle)

    def sweep_unfinished(self, older_than_s: float, prefix: str = "") -> int:
        """Remove what writers left that died at least ``older_than_s`` ago; how many there were."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        dead = [write for write in self.list_unfinished(prefix) if write.begun_at <= limit]
        for write in dead:
            self.discard(write)
        return len(dead)

    def _path(self, key: str) -> Path:
        return self._root / checked(key)

    def _write(self, key: str, data: Iterable[bytes], *, overwrite: bool) -> ObjectInfo:
        path = self._path(key)
        with named(self.uri, key):
            if not overwrite and path.exists():
                raise _taken(self.uri, key)
            with unfinished(path.parent) as temporary:
                size_bytes, crc32 = fill(temporary, data)
                if overwrite:
                    temporary.replace(path)
                elif not self._linked(temporary, path):
                    raise _taken(self.uri, key)
            _flush_folder(path.parent)
        return ObjectInfo(key, size_bytes, crc32)

    def _linked(self, temporary: Path, path: Path) -> bool:
        """Give the file its name unless the name is taken; says whether it did."""
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            LOG.debug("no hard links in %s: create-only is a check before a rename", path.parent)
            self._has_hard_links = False
            if path.exists():
                return False
            temporary.replace(path)
        return True


def _taken(uri: str, key: str) -> ObjectExistsError:
    return ObjectExistsError(f"{uri}/{key}: already there, and this write must not replace it")


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut; some file systems can't and say so."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _removed_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _is_temporary(key: str) -> bool:
    return key.rpartition("/")[2].startswith(TEMPORARY)


def _walk(folder: Path, key: str, prefix: str) -> Iterator[str]:
    """Keys below a folder whose own key is ``key`` (with its slash), in order; temporary too."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(key + entry.name + "/" * entry.is_dir() for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.endswith("/"):
            if name.startswith(prefix) or prefix.startswith(name):
                yield from _walk(folder / name.rstrip("/").rpartition("/")[2], name, prefix)
        elif name.startswith(prefix):
            yield name
