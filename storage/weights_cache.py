"""Weights from an object store or a model hub, fetched once per node.

A folder of the cache is named by what is fetched: the URI, and every object's size and time. So a
changed object is fetched anew, beside the old folder, and what is there is never changed. Actors
that start together on a node take turns at a lock; the first fetches, the others find it done. What
was fetched before a process died is kept.

    weights/<digest>/files/...       as in the store
    weights/<digest>/whole.json      sizes and CRC-32 of all, written last
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import StoreUnavailableError, WeightsError
from storage.connection import S3Options
from storage.location import HUB, Location, parse_location
from storage.s3 import S3Store
from storage.unfinished import fill, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from storage.stored import StoredObject

# Longer than 60 GB take at 100 Mbit/s; an actor's own limit for loading is another.
LOCK_TIMEOUT_S: Final = 2 * 3600.0
_POLL_S: Final = 0.1
WHOLE: Final = "whole.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsCache:
    """A folder on this node.

    Attributes:
        folder: of the cache; made on first use.
        s3: how to reach S3.
        hub_endpoint: of the model hub, ``None`` for what its own library takes.
    """

    folder: Path
    s3: S3Options = field(default_factory=S3Options)
    hub_endpoint: str | None = None

    def fetch(self, uri: str) -> Path:
        """The file or folder at a URI, on this machine; a path is taken as it is.

        Args:
            uri: a path, ``file:///folder``, ``s3://bucket/prefix`` or ``hf://owner/name@revision``.

        Raises:
            WeightsError: there is nothing under that name.
            StoreError: the store said no, or sent something else than it has.
        """
        if uri.startswith(HUB):
            return self._fetch_from_hub(uri.removeprefix(HUB))
        location = parse_location(uri)
        if location.scheme == "file":
            return Path(location.path)
        return self._fetch_from_s3(location)

    def _fetch_from_s3(self, location: Location) -> Path:
        root, name, objects = self._listed(location)
        listing = [(o.key, o.size_bytes, o.modified_at.isoformat()) for o in objects]
        digest = hashlib.blake2b(json.dumps([root.uri, listing]).encode(), digest_size=10)
        folder = self.folder / "weights" / digest.hexdigest()
        with locked(folder.with_suffix(".lock")):
            if not _is_whole(folder):
                _fetch_all(root, objects, folder)
        return folder / "files" / name

    def _listed(self, location: Location) -> tuple[S3Store, str, list[StoredObject]]:
        """A store, and in it the one object, or all objects under the prefix."""
        prefix = S3Store(location, self.s3)
        objects = [stored for stored in prefix.list_objects("") if not stored.key.endswith("/")]
        if objects:
            return prefix, "", objects
        parent, _, name = location.path.rpartition("/")
        store = S3Store(Location(scheme="s3", bucket=location.bucket, path=parent), self.s3)
        objects = [stored for stored in store.list_objects(name) if stored.key == name]
        if not objects:
            raise WeightsError(f"{location.uri}: no such object, and none under that prefix")
        return store, name, objects

    def _fetch_from_hub(self, name: str) -> Path:
        from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - rarely needed, slow

        repository, _, revision = name.partition("@")
        try:
            found = snapshot_download(
                repository,
                revision=revision or None,
                cache_dir=self.folder / "hub",
                endpoint=self.hub_endpoint,
            )
        except (
            errors.HFValidationError,
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
        ) as error:
            raise WeightsError(f"{HUB}{name}: {_first_line(error)}") from error
        except (errors.HfHubHTTPError, OSError) as error:
            raise StoreUnavailableError(f"{HUB}{name}: {_first_line(error)}") from error
        return Path(found)


@contextmanager
def locked(path: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold a lock file; it is free again when its holder's process is gone.

    Raises:
        StoreUnavailableError: another process held it all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + timeout_s
    with path.open("a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end_s:
                    raise StoreUnavailableError(
                        f"{path}: another process has fetched weights for {timeout_s:g} s"
                    ) from None
                time.sleep(_POLL_S)
            else:
                break
        yield


def _fetch_all(store: S3Store, objects: Sequence[StoredObject], folder: Path) -> None:
    whole: dict[str, list[int]] = {}
    for stored in objects:
        path = folder / "files" / stored.key
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole, and with the store's checksum where it has one, or not there at all.
        info = store.get_file(stored.key, path)
        if info.size_bytes != stored.size_bytes:
            raise StoreUnavailableError(
                f"{store.uri}/{stored.key}: got {info.size_bytes} bytes, expected "
                f"{stored.size_bytes}: changed while it was fetched"
            )
        whole[stored.key] = [info.size_bytes, info.crc32 or 0]
    with unfinished(folder) as temporary:
        fill(temporary, [json.dumps(whole, indent=2).encode()])
        temporary.replace(folder / WHOLE)


def _is_whole(folder: Path) -> bool:
    """Whether all that was fetched is there, by its sizes."""
    try:
        whole = json.loads((folder / WHOLE).read_bytes())
    except FileNotFoundError:
        return False
    return all(_size(folder / "files" / key) == size for key, (size, _) in whole.items())


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
