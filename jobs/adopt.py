"""Taking up a video that is whole in the store but not in the ledger.

A driver that dies between the sidecar and the ledger record leaves one behind. The sidecar is
written after the media, so where it stands and its checksums agree, the record is all that lacks.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pipeline.errors import ObjectMissingError
from pipeline.stores import ObjectInfo
from storage import keys
from storage.record import LedgerRecord

if TYPE_CHECKING:
    from pipeline.stores import ObjectStore


def adopted(store: ObjectStore, video_id: str, fingerprint: str) -> LedgerRecord | None:
    """The record of a video that is there, whole, with its poster and sidecar; else ``None``.

    Raises:
        StoreError: the store refused.
    """
    try:
        sidecar = json.loads(store.get_bytes(keys.sidecar(video_id, fingerprint)))
        video, poster = sidecar["video"], sidecar["poster"]
        is_whole = _is_there(store, video) and _is_there(store, poster)
        if not is_whole or (sidecar["id"], sidecar["fingerprint"]) != (video_id, fingerprint):
            return None
        return LedgerRecord(
            id=video_id,
            state="rendered",
            fingerprint=fingerprint,
            key=video["key"],
            size_bytes=video["size_bytes"],
            crc32=video["crc32"],
            num_frames=video["num_frames"],
            duration_s=_number(video["duration_s"]),
            width=video["width"],
            height=video["height"],
            fps=_number(video["fps"]),
            quality={name: float(value) for name, value in sidecar["figures"].items()},
            engine=sidecar["engine"]["name"],
            numerics_version=sidecar["numerics_version"],
        )
    except (ObjectMissingError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_there(store: ObjectStore, noted: dict[str, Any]) -> bool:
    found = store.head(noted["key"])
    return found == ObjectInfo(noted["key"], noted["size_bytes"], noted["crc32"])


def _number(noted: object) -> float:
    """A number as the sidecar has it: exact ratios are text, such as ``24000/1001``."""
    return float(Fraction(str(noted)))
