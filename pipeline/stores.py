"""What rendering needs of an object store, as Protocols: the stores themselves live in ``storage``.

Keys are relative to the store's root (the job's output URI), with ``/`` between parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as the store knows it; ``crc32`` is of the whole object, if recorded."""

    key: str
    size_bytes: int
    crc32: int | None


class ObjectStore(Protocol):
    """A place for finished objects: a local folder or an S3 prefix.

    Every method raises a ``pipeline.errors.StoreError`` subclass, never a client library's own
    error.
    """

    @property
    def uri(self) -> str:
        """The root as an absolute URI, without a trailing slash and without secrets."""
        ...

    def put_bytes(
        self, key: str, data: bytes, *, content_type: str = ..., overwrite: bool = False
    ) -> ObjectInfo:
        """Write a small object, visible whole or not at all; with ``overwrite=False`` create-only.

        Raises:
            ObjectExistsError: create-only, and the key is taken.
        """
        ...

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = ...,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Upload a file, in parts if large; create-only unless ``overwrite``."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """Read a whole small object.

        Raises:
            ObjectMissingError: there is none.
        """
        ...

    def get_file(self, key: str, path: Path) -> ObjectInfo:
        """Download to a local file, checked against the stored checksum where there is one."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """Size and checksum, or ``None`` if there is no such object."""
        ...

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, in lexicographic order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if there is none."""
        ...

    def check(self) -> None:
        """Raise the right StoreError now if the store can't be reached or written to."""
        ...


class StoreFactory(Protocol):
    """A picklable recipe: actors call it on their own node, so that clients are never pickled."""

    def __call__(self) -> ObjectStore:
        """Open the store."""
        ...
