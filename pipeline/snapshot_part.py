"""A run of slots as one object: its latents and, in mid-video, its solver history.

Safetensors, named by the slots that it holds and marked with video, step and plan, so that no
object can be taken for another. Nothing is kept of the window grid: it is a function of the plan
and the step.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load, save

from pipeline.errors import ObjectCorruptError, SnapshotMismatchError
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# 26 MB of Wan latents at 480p: a good size for an object, and little to hold while it is written.
SLOTS_PER_PART = 64

_LATENTS, _HISTORY = "latents", "history"
# One entry: safetensors writes several in any order.
_LABEL = "nightreel"


@dataclass(frozen=True, slots=True)
class PartLabel:
    """What a part says of itself: whose it is, and which slots after which number of steps."""

    video: str
    plan_digest: str
    step: int
    span: Span

    @property
    def name(self) -> str:
        """File name of the part; names sort in the order of slots."""
        return f"slots-{self.span.start:08d}-{self.span.stop:08d}.safetensors"


@dataclass(frozen=True, slots=True)
class Part:
    """Latents ``[T, C, H, W]`` of a run of slots, and history of the same shape if there is any."""

    label: PartLabel
    latents_TCHW: Tensor
    history_TDHW: Tensor | None


def part_spans(owned: Span) -> Iterator[Span]:
    """The runs of slots that a segment is stored in."""
    for start in range(owned.start, owned.stop, SLOTS_PER_PART):
        yield Span(start, min(start + SLOTS_PER_PART, owned.stop))


def to_bytes(part: Part) -> bytes:
    """The content of one object, always the same bytes for the same state.

    Whoever takes over from an actor that died may write a part again that is in a manifest by then,
    with its checksum.
    """
    tensors = {_LATENTS: part.latents_TCHW.contiguous()}
    if part.history_TDHW is not None:
        tensors[_HISTORY] = part.history_TDHW.contiguous()
    return bytes(save(tensors, metadata=_header(part.label)))


def from_bytes(data: bytes, label: PartLabel) -> Part:
    """Read an object back and make sure that it is the one that ``label`` names.

    Raises:
        ObjectCorruptError: it is no safetensors object, or has not ``len(label.span)`` slots.
        SnapshotMismatchError: it is of another video, plan, step or run of slots.
    """
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ObjectCorruptError(f"{label.name}: {error}") from error
    _check_header(data, label)
    latents_TCHW: Tensor | None = tensors.get(_LATENTS)
    history_TDHW: Tensor | None = tensors.get(_HISTORY)
    for tensor_TCHW in (latents_TCHW, *([history_TDHW] if history_TDHW is not None else [])):
        if tensor_TCHW is None or len(tensor_TCHW) != len(label.span):
            got = "nothing" if tensor_TCHW is None else f"{len(tensor_TCHW)} slots"
            raise ObjectCorruptError(f"{label.name}: got {got}, expected {len(label.span)} slots")
    assert latents_TCHW is not None
    return Part(label, latents_TCHW, history_TDHW)


def _header(label: PartLabel) -> dict[str, str]:
    return {_LABEL: json.dumps(_label(label))}


def _label(label: PartLabel) -> dict[str, str | int]:
    return {
        "video": label.video,
        "plan": label.plan_digest,
        "step": label.step,
        "start": label.span.start,
        "stop": label.span.stop,
    }


def _check_header(data: bytes, label: PartLabel) -> None:
    """Safetensors begin with the length of a JSON header in eight bytes, then the header."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    found = json.loads(header.get(_LABEL, "{}"))
    for name, expected in _label(label).items():
        if found.get(name) != expected:
            raise SnapshotMismatchError(
                f"{label.name}: got a snapshot of {name} {found.get(name)!r}, expected {expected!r}"
            )
