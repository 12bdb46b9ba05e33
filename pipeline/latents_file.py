"""Finished latents as objects: safetensors, one per run of slots, named by what they hold.

They are written before decoding begins, so that what took hours to sample does not die with a
decoder.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load, save

from pipeline.errors import ObjectCorruptError
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# 26 MB of Wan latents at 480p: a good size for an object, and little to hold while it is written.
SLOTS_PER_FILE = 64

_TENSOR = "latents"


def files_of(owned: Span) -> Iterator[Span]:
    """The runs of slots that a segment's latents are stored in."""
    for start in range(owned.start, owned.stop, SLOTS_PER_FILE):
        yield Span(start, min(start + SLOTS_PER_FILE, owned.stop))


def file_name(span: Span) -> str:
    """Name of the object that holds ``span``; names sort in the order of slots."""
    return f"latents-{span.start:08d}-{span.stop:08d}.safetensors"


def to_bytes(latents_TCHW: Tensor, span: Span, video: str) -> bytes:
    """The content of one object."""
    header = {"video": video, "start": str(span.start), "stop": str(span.stop)}
    return bytes(save({_TENSOR: latents_TCHW.contiguous()}, metadata=header))


def from_bytes(data: bytes, span: Span) -> Tensor:
    """The latents ``[T, C, H, W]`` of one object.

    Raises:
        ObjectCorruptError: it does not hold ``len(span)`` slots.
    """
    latents_TCHW: Tensor | None = load(data).get(_TENSOR)
    if latents_TCHW is None or len(latents_TCHW) != len(span):
        got = "nothing" if latents_TCHW is None else f"{len(latents_TCHW)} slots"
        raise ObjectCorruptError(f"{file_name(span)}: got {got}, expected {len(span)} slots")
    return latents_TCHW
