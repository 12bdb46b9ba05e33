"""One ledger record: what an attempt at a video came to, as a frozen value and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final, Literal, get_args

from pipeline.errors import ObjectCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["rendered", "failed", "requeued"]
STATES: Final = get_args(State)
RECORD_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRecord:
    """What became of a video in one attempt.

    Attributes:
        id: the video's id.
        state: ``rendered``: the film lies at ``key``; ``failed``: ``error`` says why it doesn't;
            ``requeued``: earlier failures don't count any more.
        fingerprint: of the request that was tried.
        attempt: the record's number, from 1; 0 until ``Ledger.append`` gives it one.
        key, size_bytes, crc32: the film's object, as the store confirmed it.
        num_frames, duration_s, width, height, fps: of the finished film.
        started_at, finished_at: ISO 8601 with zone, by the writer's clock.
        kept: prefix of latents or checkpoints that the job's settings keep for good.
        engine, numerics_version, job: what made it; recorded, never compared.
        error, message: the error's class and text.
        quality: figures of the quality gate.
    """

    id: str
    state: State
    fingerprint: str
    attempt: int = 0
    key: str | None = None
    size_bytes: int | None = None
    crc32: int | None = None
    num_frames: int | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    kept: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    engine: str | None = None
    numerics_version: str | None = None
    job: str | None = None
    error: str | None = None
    message: str | None = None
    quality: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.state in STATES, f"state {self.state!r}: expected one of {STATES}"
        whole = None not in (self.key, self.size_bytes, self.crc32)
        assert whole or self.state != "rendered", "a rendered record needs key, size and checksum"


def to_json(record: LedgerRecord) -> bytes:
    """The record as it lies in the store: one JSON object, readable by a person."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    values["quality"] = dict(record.quality)
    kept = {name: value for name, value in values.items() if value not in (None, {})}
    return (json.dumps({"format": RECORD_FORMAT, **kept}, indent=2) + "\n").encode()


def from_json(data: bytes, where: str, video_id: str) -> LedgerRecord:
    """Read a record back; fields that a later release added are left out.

    Args:
        data: the object's content.
        where: its URI, for the message.
        video_id: whose record it must be.

    Raises:
        ObjectCorruptError: not JSON, or not a record.
    """
    try:
        values = json.loads(data)
    except ValueError as error:
        raise ObjectCorruptError(f"{where}: not a ledger record: {error}") from error
    if not isinstance(values, dict):
        raise ObjectCorruptError(f"{where}: not a ledger record: expected a JSON object")
    known = {f.name: values[f.name] for f in fields(LedgerRecord) if f.name in values}
    wrong = [name for name, value in known.items() if not _fits(name, value)]
    if wrong:
        raise ObjectCorruptError(f"{where}: not a ledger record: wrong type of {', '.join(wrong)}")
    if known.get("id") != video_id:
        raise ObjectCorruptError(f"{where}: the record of {known.get('id')!r} lies there")
    try:
        return LedgerRecord(**known)
    except (TypeError, AssertionError) as error:
        raise ObjectCorruptError(f"{where}: not a ledger record: {error}") from error


def _fits(name: str, value: object) -> bool:
    if value is None:
        return _ANNOTATIONS[name].endswith(_OPTIONAL)
    kinds = _JSON_TYPES[_ANNOTATIONS[name].removesuffix(_OPTIONAL)]
    return isinstance(value, kinds) and not isinstance(value, bool)


_OPTIONAL: Final = " | None"
_ANNOTATIONS: Final = {f.name: str(f.type) for f in fields(LedgerRecord)}
_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "State": (str,),
    "int": (int,),
    "float": (float, int),
    "Mapping[str, float]": (dict,),
}
