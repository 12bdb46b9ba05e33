"""Estimates of one checkpoint under any profile, and the profile that there is room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.engines.wan.blueprint import Blueprint
from pipeline.engines.wan.memory_estimate import Footprints, MemoryEstimate, estimate
from pipeline.engines.wan.memory_profile import LADDER
from pipeline.engines.wan.rehearsal import Rehearsal
from pipeline.errors import MemoryExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import torch

    from pipeline.engines.wan.checkpoint import Checkpoint
    from pipeline.engines.wan.memory_estimate import Room
    from pipeline.engines.wan.memory_profile import MemoryProfile

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """Rehearses what has to be, once.

    Attributes:
        title: names the checkpoint.
        dtype: of transformers and text encoder.
        device_type: ``cuda`` or ``cpu``.
        height, width: of the latents.
    """

    title: str
    blueprint: Blueprint
    dtype: torch.dtype
    device_type: str
    height: int
    width: int
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of_checkpoint(
        cls,
        checkpoint: Checkpoint,
        dtype: torch.dtype,
        device_type: str,
        size: tuple[int, int] | None = None,
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
        )

    def of(self, profile: MemoryProfile) -> MemoryEstimate:
        """What the checkpoint takes under a profile."""
        rehearsal = Rehearsal(
            blueprint=self.blueprint,
            profile=profile,
            dtype=self.dtype,
            device_type=self.device_type,
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
            f"{self.title}: no memory profile fits; {least.describe(room)}", least.profile.name
        )

    def _once(self, key: Hashable, rehearse: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = rehearse()
        found: T = self._known[key]
        return found
