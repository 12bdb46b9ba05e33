"""A cut: the whole state of a video after the same number of steps, in parts by runs of slots.

A part holds what one segment owned, but nothing in it says how many segments there were: any
partition can go on from a cut. The manifest is a small object that is written when all parts are
there, so a cut is whole or does not exist. The last cut, after all steps, holds the finished
latents and no solver history.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import ObjectCorruptError, SnapshotMismatchError
from pipeline.numerics import NUMERICS_VERSION
from pipeline.snapshot_part import PartLabel
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.plan import VideoPlan

SCHEME = 2


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of a cut in the object store; ``crc32`` where the store told it."""

    step: int
    span: Span
    key: str
    size_bytes: int
    crc32: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The manifest of a cut.

    Attributes:
        video: id of the video.
        plan_digest: of the plan that it belongs to, see ``digest_of``.
        step: how many steps are finished; the next one to compute.
        num_steps: how many there are.
        num_slots: length of the state's time axis.
        parts: in the order of slots, without gaps or overlaps.
    """

    video: str
    plan_digest: str
    step: int
    num_steps: int
    num_slots: int
    parts: tuple[StoredPart, ...]

    def __post_init__(self) -> None:
        assert tiles(self.parts, self.num_slots), f"the parts of {self} leave gaps"

    @property
    def is_last(self) -> bool:
        """Whether this holds the finished latents."""
        return self.step == self.num_steps

    def label(self, part: StoredPart) -> PartLabel:
        """What a part must say of itself."""
        return PartLabel(self.video, self.plan_digest, self.step, part.span)

    def check(self, plan: VideoPlan) -> None:
        """Make sure that this plan can go on from here.

        Raises:
            SnapshotMismatchError: it was made by another plan or an engine with other numbers.
        """
        expected = digest_of(plan)
        if self.plan_digest != expected:
            raise SnapshotMismatchError(
                f"video '{plan.request.id}': the snapshot at step {self.step} was made by plan "
                f"{self.plan_digest}, expected {expected}; it can't be gone on from"
            )

    def to_bytes(self) -> bytes:
        """The manifest as JSON."""
        parts = [
            {
                "start": part.span.start,
                "stop": part.span.stop,
                "key": part.key,
                "size_bytes": part.size_bytes,
                "crc32": part.crc32,
            }
            for part in self.parts
        ]
        content = {
            "scheme": SCHEME,
            "video": self.video,
            "plan": self.plan_digest,
            "step": self.step,
            "num_steps": self.num_steps,
            "num_slots": self.num_slots,
            "parts": parts,
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Cut:
        """Read a manifest back.

        Raises:
            ObjectCorruptError: ``key`` is no manifest of a whole cut.
        """
        try:
            content = json.loads(data)
            step = int(content["step"])
            parts = tuple(
                StoredPart(
                    step,
                    Span(int(part["start"]), int(part["stop"])),
                    str(part["key"]),
                    int(part["size_bytes"]),
                    None if part["crc32"] is None else int(part["crc32"]),
                )
                for part in content["parts"]
            )
            if content["scheme"] != SCHEME or not tiles(parts, int(content["num_slots"])):
                raise ObjectCorruptError(f"{key}: no manifest of a whole snapshot")
            return cls(
                video=str(content["video"]),
                plan_digest=str(content["plan"]),
                step=step,
                num_steps=int(content["num_steps"]),
                num_slots=int(content["num_slots"]),
                parts=parts,
            )
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ObjectCorruptError(f"{key}: no manifest of a snapshot: {error!r}") from error


def digest_of(plan: VideoPlan) -> str:
    """A name for everything in a plan that changes latents, and for how this release computes."""
    request = replace(plan.request, priority=0, deadline=None, metadata={})
    text = f"{SCHEME} {NUMERICS_VERSION} {replace(plan, request=request)!r}"
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def tiles(parts: Iterable[StoredPart], num_slots: int) -> bool:
    """Whether parts, in order, hold every slot once."""
    stop = 0
    for part in parts:
        if part.span.start != stop:
            return False
        stop = part.span.stop
    return stop == num_slots


def folder_of(prefix: str, step: int) -> str:
    """Prefix, with its slash, of a cut's parts."""
    return f"{prefix}step-{step:06d}/"


def manifest_key(prefix: str, step: int) -> str:
    """Key of a cut's manifest."""
    return f"{prefix}step-{step:06d}.json"
