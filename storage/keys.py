"""Where everything lies under a job's output URI.

    videos/<id>/<fingerprint>.mp4|.jpg|.json      the film, its poster, its sidecar
    checkpoints/<id>/<fingerprint>/<name>         snapshots and latents of a video in the making
    ledger/<id>/<attempt>.json                    what became of the video, numbered, written last
    leases/<id>/<number>.json                     which driver renders the video now, numbered
    rejected.parquet  results.parquet  index.html

An id is one key part, and a key part is one file name: no id can name a place outside its folder.
Attempts are padded with zeros, so that a listing has them in numeric order.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.errors import StoreError

REJECTED: Final = "rejected.parquet"
RESULTS: Final = "results.parquet"
INDEX: Final = "index.html"
LEDGER: Final = "ledger/"
LEASES: Final = "leases/"
VIDEOS: Final = "videos/"
CHECKPOINTS: Final = "checkpoints/"

MAX_ID_LENGTH: Final = 128
MAX_ATTEMPT: Final = 999_999
# Below S3's 1,024 bytes with room for the prefix of the output URI.
MAX_KEY_BYTES: Final = 700
MAX_PART_BYTES: Final = 200

ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def is_safe_id(video_id: str) -> bool:
    """Whether an id can be a part of a key: letters, digits, ``.``, ``_``, ``-``; 128 at most."""
    return ID_PATTERN.fullmatch(video_id) is not None


def video(video_id: str, fingerprint: str, suffix: str = ".mp4") -> str:
    """Key of the finished film; ``suffix`` for another container."""
    return f"{VIDEOS}{_part(video_id)}/{_part(fingerprint)}{suffix}"


def poster(video_id: str, fingerprint: str) -> str:
    """Key of the poster frame."""
    return f"{VIDEOS}{_part(video_id)}/{_part(fingerprint)}.jpg"


def sidecar(video_id: str, fingerprint: str) -> str:
    """Key of the sidecar: request, engine, seeds, timings, quality figures, checksums."""
    return f"{VIDEOS}{_part(video_id)}/{_part(fingerprint)}.json"


def checkpoints(video_id: str, fingerprint: str) -> str:
    """Prefix, with its slash, of all that is kept of a video in the making."""
    return f"{CHECKPOINTS}{_part(video_id)}/{_part(fingerprint)}/"


def checkpoint(video_id: str, fingerprint: str, name: str) -> str:
    """Key of one snapshot or latent file of a video in the making."""
    return checked(checkpoints(video_id, fingerprint) + name)


def ledger(video_id: str, attempt: int) -> str:
    """Key of a video's ledger record number ``attempt``, counted from 1."""
    return numbered(ledger_of(video_id), attempt)


def ledger_of(video_id: str) -> str:
    """Prefix, with its slash, of a video's ledger records."""
    return f"{LEDGER}{_part(video_id)}/"


def leases_of(video_id: str) -> str:
    """Prefix, with its slash, of the records that say who renders a video."""
    return f"{LEASES}{_part(video_id)}/"


def videos_of(video_id: str) -> str:
    """Prefix, with its slash, of all films of one video, whatever their fingerprint."""
    return f"{VIDEOS}{_part(video_id)}/"


def checkpoints_of(video_id: str) -> str:
    """Prefix, with its slash, of all that is kept of one video, whatever the fingerprint."""
    return f"{CHECKPOINTS}{_part(video_id)}/"


def numbered(prefix: str, number: int) -> str:
    """Key of record ``number`` (1 to 999,999) under a prefix that ends in a slash."""
    if not 1 <= number <= MAX_ATTEMPT:
        raise StoreError(f"{prefix}: record number {number} is not within 1..{MAX_ATTEMPT}")
    return f"{prefix}{number:06d}.json"


def number_of(key: str) -> int | None:
    """The number of a numbered record's key, or ``None`` for any other object."""
    name = key.rpartition("/")[2]
    stem = name.removesuffix(".json")
    if stem == name or len(stem) != 6 or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem) or None


def checked(key: str) -> str:
    """The key itself, if it is safe in every store: also keys read back from a store come here.

    Raises:
        StoreError: an empty, ``.`` or ``..`` part, a control character or backslash, or too long.
    """
    parts = key.split("/")
    if any(part in {"", ".", ".."} for part in parts) or _CONTROL.search(key):
        raise StoreError(f"{key!r} is no valid key: expected parts with '/' between, none empty")
    if len(key.encode()) > MAX_KEY_BYTES or any(len(p.encode()) > MAX_PART_BYTES for p in parts):
        raise StoreError(
            f"key {key[:80]!r}... is too long: expected at most {MAX_KEY_BYTES} bytes, "
            f"and {MAX_PART_BYTES} in one part"
        )
    return key


def _part(text: str) -> str:
    if not is_safe_id(text):
        raise StoreError(f"{text[:80]!r} is no valid key part: expected {ID_PATTERN.pattern}")
    return text
