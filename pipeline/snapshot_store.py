"""Cuts in an object store: written part by part and then named, found, read and pruned.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

import logging
import math
import re
import zlib
from typing import TYPE_CHECKING

import torch

from pipeline.errors import ObjectCorruptError, ObjectMissingError, SnapshotMismatchError
from pipeline.snapshot import Cut, StoredPart, folder_of, manifest_key
from pipeline.snapshot_part import from_bytes, to_bytes

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.plan import VideoPlan
    from pipeline.snapshot_part import Part
    from pipeline.spans import Span
    from pipeline.stores import ObjectStore

logger = logging.getLogger("nightreel.snapshot")

_MANIFEST = re.compile(r"step-\d{6}\.json")
_OF_A_STEP = re.compile(r"step-(\d{6})(?:\.json|/)")


def put_part(store: ObjectStore, prefix: str, part: Part) -> StoredPart:
    """Write one part of a cut that has no manifest yet; the same part again replaces it.

    Raises:
        StoreError: it can't be written.
    """
    key = folder_of(prefix, part.label.step) + part.label.name
    info = store.put_bytes(key, to_bytes(part), overwrite=True)
    return StoredPart(part.label.step, part.label.span, info.key, info.size_bytes, info.crc32)


def put_cut(store: ObjectStore, prefix: str, cut: Cut) -> None:
    """Write the manifest: from now on the cut exists.

    Raises:
        StoreError: it can't be written.
    """
    store.put_bytes(
        manifest_key(prefix, cut.step),
        cut.to_bytes(),
        content_type="application/json",
        overwrite=True,
    )


def latest_cut(store: ObjectStore, prefix: str, plan: VideoPlan) -> Cut | None:
    """The newest whole cut of this plan, if there is any; one of another plan is passed over.

    Raises:
        StoreError: the store does not answer.
    """
    names = [key for key in store.list_keys(prefix) if _MANIFEST.fullmatch(key[len(prefix) :])]
    for key in sorted(names, reverse=True):
        try:
            cut = Cut.from_bytes(store.get_bytes(key), key)
            cut.check(plan)
        except (ObjectCorruptError, ObjectMissingError, SnapshotMismatchError) as error:
            logger.warning("%s: not used: %s", key, error)
        else:
            return cut
    return None


def discard_cut(store: ObjectStore, prefix: str, cut: Cut) -> None:
    """Take back a cut that turned out to be damaged.

    Raises:
        StoreError: the manifest can't be removed.
    """
    store.delete(manifest_key(prefix, cut.step))


def prune(store: ObjectStore, prefix: str, newest: Cut) -> None:
    """Remove older cuts, whole or not, now that ``newest`` is whole; a newer one may be under way.

    Manifests go first: at no time is there one without its parts.

    Raises:
        StoreError: something can't be removed.
    """
    kept = {manifest_key(prefix, newest.step), *(part.key for part in newest.parts)}
    others = [key for key in store.list_keys(prefix) if key not in kept]
    older = [key for key in others if _step_of(key, prefix) <= newest.step]
    for key in sorted(older, key=lambda key: not key.endswith(".json")):
        store.delete(key)


def _step_of(key: str, prefix: str) -> float:
    """The cut that a key belongs to; after all others if it is none of ours."""
    found = _OF_A_STEP.match(key[len(prefix) :])
    return int(found.group(1)) if found else math.inf


def load_slots(
    store: ObjectStore, cut: Cut, latents: Span, history: Span
) -> tuple[Tensor, Tensor | None]:
    """What a segment needs of a cut.

    Args:
        store: where the parts are.
        cut: which cut.
        latents: slots whose latents are wanted.
        history: slots whose solver history is wanted; may be empty.

    Returns:
        Latents and history ``[T, C, H, W]``; no history where the cut has none.

    Raises:
        ObjectMissingError, ObjectCorruptError: a part is gone or damaged.
        SnapshotMismatchError: a part belongs to another cut.
    """
    latents_runs: list[Tensor] = []
    history_runs: list[Tensor] = []
    for stored in cut.parts:
        shared, remembered = latents.intersect(stored.span), history.intersect(stored.span)
        if not shared and not remembered:
            continue
        part = _get_part(store, cut, stored)
        if shared:
            latents_runs.append(part.latents_TCHW[shared.within(stored.span)].clone())
        if remembered and part.history_TDHW is not None:
            history_runs.append(part.history_TDHW[remembered.within(stored.span)].clone())
    return torch.cat(latents_runs), torch.cat(history_runs) if history_runs else None


def _get_part(store: ObjectStore, cut: Cut, stored: StoredPart) -> Part:
    data = store.get_bytes(stored.key)
    if len(data) != stored.size_bytes or stored.crc32 not in {None, zlib.crc32(data)}:
        raise ObjectCorruptError(
            f"{stored.key}: got {len(data)} bytes with CRC-32 {zlib.crc32(data):08x}, expected "
            f"{stored.size_bytes} bytes with CRC-32 {stored.crc32 or 0:08x}"
        )
    return from_bytes(data, cut.label(stored))
