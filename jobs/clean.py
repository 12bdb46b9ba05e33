"""What may be removed from an output URI, and its removal.

A video that a driver has now is left alone in every respect, and so is the film that the ledger
names as a video's newest.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, get_args

from jobs.progress_text import printable, size_text
from pipeline.errors import ConfigError
from storage import keys
from storage.leases import newest_of
from storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.stored import StoredObject, StoreWithListing

Kind = Literal["finished", "kept", "abandoned", "superseded", "lease", "upload"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
WHAT: Final[dict[Kind, str]] = {
    "finished": "latents and checkpoints of finished videos",
    "kept": "latents and checkpoints that were kept",
    "abandoned": "latents and checkpoints of videos that nobody finished",
    "superseded": "films, posters and sidecars that newer ones replaced",
    "lease": "leases of drivers that are gone",
    "upload": "uploads that never ended",
}
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGE: Final = re.compile(r"([0-9]+)([smhd])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanOptions:
    """What is to go.

    Attributes:
        older_than_s: age of what nobody may come back to: checkpoints of videos that are not
            finished, uploads that were never completed, and films that another one replaced.
        superseded: also films that a newer one of the same video replaced.
        kept: also latents and checkpoints that a job was told to keep.
    """

    older_than_s: float
    superseded: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that may go.

    Attributes:
        kind: ``finished``: checkpoints of a video that is done; ``kept``: those that were to stay;
            ``abandoned``: those of a video that is not done; ``superseded``: a film, poster or
            sidecar; ``lease``: of a driver that is gone; ``upload``: a write that never ended.
        key: what it is called.
        size_bytes: what it takes up.
        remove: does it.
    """

    kind: Kind
    key: str
    size_bytes: int
    remove: Callable[[], None]


def age_s(text: str) -> float:
    """Seconds that ``90s``, ``45m``, ``12h`` or ``7d`` are.

    Raises:
        ConfigError: it is none of these.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"age {text!r}: expected a number with s, m, h or d, such as 7d")
    return float(match[1]) * _UNITS_S[match[2]]


def removals(store: StoreWithListing, options: CleanOptions) -> Iterator[Removal]:
    """Everything that may go, one by one; nothing is removed until it is asked to be.

    Raises:
        StoreError: the store refused.
    """
    limit = datetime.now(UTC) - timedelta(seconds=options.older_than_s)
    yield from _checkpoints(store, options, limit)
    if options.superseded:
        yield from _superseded(store, limit)
    yield from _leases(store)
    for write in store.list_unfinished(""):
        if write.begun_at <= limit and not _is_busy(store, write.key):
            yield Removal("upload", write.key, write.size_bytes, partial(store.discard, write))


def _checkpoints(
    store: StoreWithListing, options: CleanOptions, limit: datetime
) -> Iterator[Removal]:
    for (video_id, name), objects in groupby(store.list_objects(keys.CHECKPOINTS), _place_of):
        found = list(objects)
        if not keys.is_safe_id(video_id) or _is_busy(store, found[0].key):
            continue
        verdict = Ledger(store).finished(video_id, name)
        if verdict.record is None or not verdict.done:
            if all(each.modified_at <= limit for each in found):
                yield from _objects(store, "abandoned", found)
        elif verdict.record.kept is None:
            yield from _objects(store, "finished", found)
        elif options.kept:
            yield from _objects(store, "kept", found)


def _superseded(store: StoreWithListing, limit: datetime) -> Iterator[Removal]:
    """Films beside the one that the ledger names; where that isn't there, none is replaced."""
    for video_id, objects in groupby(store.list_objects(keys.VIDEOS), lambda o: _place_of(o)[0]):
        found = list(objects)
        if not keys.is_safe_id(video_id) or _is_busy(store, found[0].key):
            continue
        history = Ledger(store).history(video_id)
        newest = next((record for record in history if record.state == "rendered"), None)
        if newest is None or all(each.key != newest.key for each in found):
            continue
        old = [each for each in found if _stem_of(each) != newest.fingerprint]
        yield from _objects(store, "superseded", [o for o in old if o.modified_at <= limit])


def _leases(store: StoreWithListing) -> Iterator[Removal]:
    for video_id, objects in groupby(store.list_objects(keys.LEASES), lambda o: _place_of(o)[0]):
        # Listed before they are judged: a lease that is taken meanwhile is none of these.
        found = list(objects)
        if keys.is_safe_id(video_id) and not _is_busy(store, found[0].key):
            yield from _objects(store, "lease", found)


def _is_busy(store: StoreWithListing, key: str) -> bool:
    """Whether a driver has the video that a key belongs to."""
    _, _, rest = key.partition("/")
    video_id = rest.partition("/")[0]
    if not keys.is_safe_id(video_id):
        return False
    _, lease = newest_of(store, video_id)
    return lease is not None and not lease.is_free()


def _objects(store: StoreWithListing, kind: Kind, objects: list[StoredObject]) -> Iterator[Removal]:
    for each in objects:
        yield Removal(kind, each.key, each.size_bytes, partial(store.delete, each.key))


def _place_of(found: StoredObject) -> tuple[str, str]:
    """Id and fingerprint in the key of a checkpoint, id and file name in another's."""
    _, video_id, name, *_ = [*found.key.split("/"), "", ""]
    return video_id, name


def _stem_of(found: StoredObject) -> str:
    return found.key.rpartition("/")[2].partition(".")[0]


def clean_up(
    store: StoreWithListing, options: CleanOptions, *, dry_run: bool = False
) -> Iterator[str]:
    """Remove what may go, and say so in lines of text.

    Raises:
        StoreError: the store refused; what was removed stays removed.
    """
    counts: Counter[Kind] = Counter()
    sizes: Counter[Kind] = Counter()
    for removal in removals(store, options):
        counts[removal.kind] += 1
        sizes[removal.kind] += removal.size_bytes
        if dry_run:
            yield printable(f"{removal.kind:<10} {size_text(removal.size_bytes):>9}  {removal.key}")
        else:
            removal.remove()
    did = "would remove" if dry_run else "removed"
    for kind in KINDS:
        if counts[kind]:
            yield f"{did} {counts[kind]} {WHAT[kind]}, {size_text(sizes[kind])}"
    if not counts:
        yield "nothing to remove"
    else:
        yield f"{did} {counts.total()} in all, {size_text(sizes.total())}"
