"""Estimates of one checkpoint under any profile, and the profile that there is room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.engines.wan.blueprint import Blueprint
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.memory_estimate import GB, Footprints, MemoryEstimate, estimate
from pipeline.engines.wan.memory_profile import LADDER, PROFILES, RESIDENT
from pipeline.engines.wan.rehearsal import Rehearsal
from pipeline.engines.wan.variant import Variant
from pipeline.engines.wan.weights import weight_files
from pipeline.errors import MemoryExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    import torch

    from pipeline.engines.wan.memory_estimate import Room
    from pipeline.engines.wan.memory_profile import MemoryProfile, ProfileName

T = TypeVar("T")

# Bytes that one byte of a file may become: fp8 there, fp32 here.
_WIDENED = 4
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """Rehearses what has to be, once.

    Attributes:
        title: names the checkpoint.
        dtype: of transformers and text encoder.
        device_type: ``cuda`` or ``cpu``.
        height, width: of the latents.
        batch: prompts that a window is predicted for at once.
    """

    title: str
    blueprint: Blueprint
    dtype: torch.dtype
    device_type: str
    height: int
    width: int
    batch: int = 1
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of_checkpoint(
        cls,
        checkpoint: Checkpoint,
        dtype: torch.dtype,
        device_type: str,
        size: tuple[int, int] | None = None,
        batch: int = 1,
    ) -> Estimator:
        """For videos of ``size`` = (width, height) pixels; ``None``: the checkpoint's own."""
        spec = checkpoint.spec
        _, height, width = spec.latent_shape(*(size or (spec.width, spec.height)))
        return cls(
            title=str(checkpoint.folder),
            blueprint=Blueprint.of_checkpoint(checkpoint),
            dtype=dtype,
            device_type=device_type,
            height=height,
            width=width,
            batch=batch,
        )

    def of(self, profile: MemoryProfile) -> MemoryEstimate:
        """What the checkpoint takes under a profile."""
        rehearsal = Rehearsal(
            blueprint=self.blueprint,
            profile=profile,
            dtype=self.dtype,
            device_type=self.device_type,
            batch=self.batch,
        )
        size = self.height, self.width
        streams, fp8 = profile.streams_blocks, profile.fp8_storage
        footprints = Footprints(
            num_experts=self.blueprint.num_experts,
            transformer=self._once(
                ("transformer", streams, fp8), lambda: rehearsal.transformer(*size)
            ),
            text=self._once(("text", streams), rehearsal.text_encoder),
            clip=self._once("clip", rehearsal.image_encoder),
            autoencoder=self._once(
                ("decoder", profile.tiled_decode), lambda: rehearsal.decoder(*size)
            ),
            first_frame_bytes=self._once("first frame", lambda: rehearsal.encoder_bytes(*size)),
        )
        return estimate(profile, self.device_type, footprints)

    def best(self, room: Room) -> MemoryEstimate:
        """The fastest profile that there is room for; those that change no bit come first.

        Raises:
            MemoryExceededError: none fits.
        """
        tried = []
        for profile in LADDER:
            found = self.of(profile.on(self.device_type))
            if found.fits(room):
                return found
            tried.append(found)
        least = min(tried, key=lambda one: one.device_bytes)
        raise MemoryExceededError(
            f"{self.title}: no memory profile fits; the one that takes least: "
            f"{least.describe(room)}",
            LADDER[-1].name,
        )

    def work_bound(self) -> int:
        """More bytes than any forward takes besides weights; costs no rehearsal.

        The factors are two to ten times what rehearsals of the published models give.
        """
        transformer, vae = self.blueprint.transformer, self.blueprint.vae
        heads, head_dim = (
            int(transformer.get(key, usual))
            for key, usual in (("num_attention_heads", 40), ("attention_head_dim", 128))
        )
        per_token = 160 * heads * head_dim + 8 * int(transformer.get("ffn_dim", 13824))
        latent_pixels = self.height * self.width
        tokens = self.batch * self.blueprint.window_latent_frames * latent_pixels
        pixels = latent_pixels * int(vae.get("scale_factor_spatial", 8)) ** 2
        channels = max(int(vae.get("base_dim", 96)), int(vae.get("decoder_base_dim") or 0))
        per_pixel = 256 * channels + 12 * self.blueprint.encoded_latent_frames
        return _FP32_BYTES * (tokens * per_token + pixels * per_pixel)

    def _once(self, key: Hashable, rehearse: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = rehearse()
        found: T = self._known[key]
        return found


def fitting(
    folder: Path,
    dtype: torch.dtype,
    profile: str,
    room: Room,
    size: tuple[int, int] | None,
    *,
    batch: int = 1,
) -> tuple[ProfileName, str]:
    """The name of the profile to load a checkpoint with, and what is to be said of it.

    Args:
        folder: a checkpoint.
        dtype: of transformers and text encoder.
        profile: ``auto``, or a name, which is kept.
        room: what is free.
        size: pixels (width, height) of the videos; ``None``: the checkpoint's own size.
        batch: prompts that a window is predicted for at once.

    Raises:
        WeightsError: the checkpoint's configuration is damaged.
        MemoryExceededError: no profile fits.
    """
    checkpoint = Checkpoint.open(folder)
    estimator = Estimator.of_checkpoint(checkpoint, dtype, room.device_type, size, batch)
    at_most_bytes = file_bytes(checkpoint) * _WIDENED + estimator.work_bound()
    if profile == "auto" and at_most_bytes <= room.device_bytes:
        free = room.device_bytes / GB
        return (
            RESIDENT.name,
            f"profile resident: under {at_most_bytes / GB:.2g} of {free:.3g} GB free",
        )
    if profile == "auto":
        found = estimator.best(room)
    else:
        found = estimator.of(PROFILES[profile].on(room.device_type))
    return found.profile.name, found.describe(room)


def file_bytes(checkpoint: Checkpoint) -> int:
    """Of all its weight files."""
    components = Variant.read(checkpoint.folder).components
    return sum(
        path.stat().st_size
        for component, stem in components.items()
        if stem
        for path in weight_files(checkpoint.folder / component, stem)
    )
