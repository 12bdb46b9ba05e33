"""From an output URI to an object store, here or on another node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storage.connection import S3Options
from storage.local import LocalStore
from storage.location import parse_location
from storage.s3 import S3Store


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """A picklable recipe for a store: the ``pipeline.stores.StoreFactory`` that actors get.

    A relative path is made absolute at once, where the user is, not where a worker runs.

    Attributes:
        uri: a path, ``file:///folder`` or ``s3://bucket/prefix``.
        s3: how to reach S3; ignored by a folder.

    Raises:
        ConfigError: the URI can't be understood.
    """

    uri: str
    s3: S3Options = field(default_factory=S3Options)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", parse_location(self.uri).uri)

    def __call__(self) -> LocalStore | S3Store:
        """Open the store; sends no request.

        Raises:
            StoreAccessError: there is no such profile.
        """
        location = parse_location(self.uri)
        if location.scheme == "s3":
            return S3Store(location, self.s3)
        return LocalStore(Path(location.path))


def open_store(uri: str, *, s3: S3Options | None = None) -> LocalStore | S3Store:
    """Open the store at a URI; ``check()`` it to learn at once whether it can be used.

    Raises:
        ConfigError: the URI can't be understood.
        StoreAccessError: there is no such profile.
    """
    return StoreConfig(uri=uri, s3=s3 or S3Options())()
