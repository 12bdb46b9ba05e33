"""How much memory a checkpoint takes under a profile, phase by phase, before it is loaded.

    load          what stays on the device
    text          and the text encoder with one prompt
    clip          and the image encoder with one image
    first frame   and the autoencoder that encodes an image
    denoise       and the transformers with one window
    decode        and the autoencoder that decodes a video, with its cache

Counted are tensors. What an allocator loses and what kernels take for themselves is left to a
margin: a tenth, and on a GPU 1 GiB for the workspaces of cuBLAS and cuDNN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engines.wan.memory_profile import MemoryProfile

GB = 1e9
MARGIN_SHARE = 0.1
CUDA_MARGIN_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one network takes, in bytes.

    Attributes:
        device_bytes: on the device, whether it works or not.
        work_bytes: on the device besides, at the most, while it works.
        host_bytes: of the machine's memory, whether it works or not.
        load_bytes: of the machine's memory, while it is loaded.
    """

    device_bytes: int
    work_bytes: int
    host_bytes: int = 0
    load_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Memory that is free for one engine.

    Attributes:
        device_type: ``cuda`` or ``cpu``.
        device_bytes: of the device; of a CPU, the machine's.
        host_bytes: of the machine; ``None``: not known. Of no account where a CPU is the device.
    """

    device_type: str
    device_bytes: int
    host_bytes: int | None = None

    def limited(self, device_bytes: int) -> Room:
        """With no more of the device than that."""
        return replace(self, device_bytes=min(self.device_bytes, device_bytes))


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a video's making, and the bytes on the device in it, by what they are for."""

    name: str
    parts: Mapping[str, int]

    @property
    def num_bytes(self) -> int:
        """All of them."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What an engine takes under a profile.

    Attributes:
        device_type: of the device that it is for.
        phases: in their order.
        host_bytes: of the machine's memory, at the most, for what is not on the device.
    """

    profile: MemoryProfile
    device_type: str
    phases: tuple[Phase, ...]
    host_bytes: int

    @property
    def peak(self) -> Phase:
        """The phase that takes most of the device."""
        return max(self.phases, key=lambda phase: phase.num_bytes)

    @property
    def device_bytes(self) -> int:
        """What must be free on the device, margin included."""
        num_bytes = self.peak.num_bytes
        if self.device_type == "cpu":
            num_bytes += self.host_bytes
        return int(num_bytes * (1 + MARGIN_SHARE)) + self._workspace_bytes

    def fits(self, room: Room) -> bool:
        """Whether there is room for it, margin included."""
        if self.device_bytes > room.device_bytes:
            return False
        return (
            self.device_type == "cpu" or not room.host_bytes or self.host_bytes <= room.host_bytes
        )

    def describe(self, room: Room | None = None) -> str:
        """For logs: how much of how much, in which phase, for what."""
        parts = sorted(self.peak.parts.items(), key=lambda part: -part[1])
        shares = ", ".join(f"{name} {size / GB:.2g}" for name, size in parts if size)
        of = "" if room is None else f" of {room.device_bytes / GB:.3g} GB free"
        host = f"; {self.host_bytes / GB:.2g} GB of the machine's" if self.host_bytes else ""
        exact = "" if self.profile.is_exact else ", not exact"
        return (
            f"profile {self.profile.name}{exact}: {self.device_bytes / GB:.3g} GB{of}, most of it "
            f"in '{self.peak.name}': {shares}{host}"
        )

    @property
    def _workspace_bytes(self) -> int:
        return CUDA_MARGIN_BYTES if self.device_type == "cuda" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprints:
    """What the networks of a checkpoint take, as one profile keeps them.

    Attributes:
        num_experts: transformers; all take the same.
        clip: the image encoder; ``None`` where there is none.
        autoencoder: and what it takes to decode.
        first_frame_bytes: what it takes to encode an image; 0 where no image is shown.
    """

    num_experts: int
    transformer: Footprint
    text: Footprint
    clip: Footprint | None
    autoencoder: Footprint
    first_frame_bytes: int

    @property
    def networks(self) -> list[Footprint]:
        """Those whose weights may be elsewhere than on the device."""
        return [self.text, self.transformer]


def estimate(profile: MemoryProfile, device_type: str, of: Footprints) -> MemoryEstimate:
    """What a checkpoint takes whose networks take so much."""
    num_there = 1 if profile.takes_turns else of.num_experts
    experts = {"transformer": num_there * of.transformer.device_bytes}
    text = {"text encoder": of.text.device_bytes}
    clip = {} if of.clip is None else {"image encoder": of.clip.device_bytes}
    stays = {"autoencoder": of.autoencoder.device_bytes}
    if not profile.takes_turns:
        stays |= experts
    if not profile.frees_encoders:
        stays |= text | clip
    phases = [
        Phase("load", stays),
        Phase("text", stays | text | {"prompt": of.text.work_bytes}),
        Phase("denoise", stays | experts | {"window": of.transformer.work_bytes}),
        Phase("decode", stays | experts | {"pictures": of.autoencoder.work_bytes}),
    ]
    if of.clip is not None:
        phases.append(Phase("clip", stays | clip | {"image": of.clip.work_bytes}))
    if of.first_frame_bytes:
        phases.append(Phase("first frame", stays | experts | {"image": of.first_frame_bytes}))
    return MemoryEstimate(profile, device_type, tuple(phases), _host_bytes(profile, of, num_there))


def _host_bytes(profile: MemoryProfile, of: Footprints, num_there: int) -> int:
    at_rest = [of.text.host_bytes, num_there * of.transformer.host_bytes]
    loading = [network.load_bytes for network in of.networks]
    networks = max(max(at_rest) if profile.takes_turns else sum(at_rest), *loading)
    return networks + of.autoencoder.host_bytes
