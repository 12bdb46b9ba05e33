"""What a store holds besides whole objects' contents: sizes, ages, and writes that never ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.stores import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a listing; ``modified_at`` is by the store's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class UnfinishedWrite:
    """A write that was begun and not completed: a live writer's, or what a dead one left.

    Attributes:
        key: what it was to become in S3; the temporary file's own key in a folder.
        size_bytes: what it takes up.
        begun_at: by the store's clock; in a folder, when it last grew.
        handle: how the store knows it.
    """

    key: str
    size_bytes: int
    begun_at: datetime
    handle: str


class StoreWithListing(ObjectStore, Protocol):
    """A store whose contents can be looked over and tidied up; every store in ``storage`` can."""

    @property
    def creates_atomically(self) -> bool:
        """Whether of two create-only writes at the same instant exactly one succeeds."""
        ...

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """Objects under a prefix, in lexicographic order of their keys."""
        ...

    def list_unfinished(self, prefix: str) -> Iterator[UnfinishedWrite]:
        """Writes under a prefix that are not complete."""
        ...

    def discard(self, write: UnfinishedWrite) -> None:
        """Give up an unfinished write; no error if it is gone."""
        ...

    def sweep_unfinished(self, older_than_s: float, prefix: str = "") -> int:
        """Discard what was begun under a prefix at least so long ago; how many there were."""
        ...
