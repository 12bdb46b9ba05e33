"""What a GPU holds of a checkpoint, and when: choices by name, from fastest to thriftiest.

A profile is made of independent choices. Those that change no bit come first; ``auto`` goes on to
the others only where none of these fits, and a sidecar says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

ProfileName = Literal[
    "resident", "text-freed", "in-turn", "offloaded", "offloaded-tiled", "smallest", "fp8"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """How a checkpoint is kept on its device.

    Attributes:
        name: as ``engine.profile`` has it.
        frees_encoders: text encoder and CLIP are loaded, used and freed; else they stay.
        takes_turns: of text encoder, CLIP and transformers one is there at a time; bringing one
            in puts the other out. It is read from its file anew.
        streams_blocks: the blocks of transformers and text encoder stay in the machine's memory;
            each is brought to the device for its own part of a forward, the next one beside it.
        tiled_decode: pictures are decoded in tiles, which are blended.
        fp8_storage: the transformers' weights are kept as ``float8_e4m3fn`` and cast to
            ``engine.dtype`` layer by layer (diffusers' layerwise casting).
    """

    name: ProfileName
    frees_encoders: bool = False
    takes_turns: bool = False
    streams_blocks: bool = False
    tiled_decode: bool = False
    fp8_storage: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether every bit is what ``resident`` gives."""
        return not (self.tiled_decode or self.fp8_storage)

    def on(self, device_type: str) -> Self:
        """The same where a CPU is the device: there is no other memory to bring blocks from."""
        return self if device_type != "cpu" else replace(self, streams_blocks=False)


RESIDENT = MemoryProfile(name="resident")
_OFFLOADED = MemoryProfile(
    name="offloaded", frees_encoders=True, takes_turns=True, streams_blocks=True
)
# In the order in which ``auto`` tries them, and in which a video is tried again.
LADDER = (
    RESIDENT,
    MemoryProfile(name="text-freed", frees_encoders=True),
    MemoryProfile(name="in-turn", frees_encoders=True, takes_turns=True),
    _OFFLOADED,
    replace(_OFFLOADED, name="offloaded-tiled", tiled_decode=True),
    replace(_OFFLOADED, name="smallest", tiled_decode=True, fp8_storage=True),
)
# Only for who asks for them by name.
ASIDE = (MemoryProfile(name="fp8", frees_encoders=True, takes_turns=True, fp8_storage=True),)
PROFILES: Mapping[str, MemoryProfile] = {profile.name: profile for profile in (*LADDER, *ASIDE)}
assert set(PROFILES) == set(get_args(ProfileName))


def thriftier(name: str) -> MemoryProfile | None:
    """The next profile to try where this one took too much; ``None``: there is none.

    Args:
        name: of a profile, or ``auto`` where nothing is known of the one that was taken.
    """
    names = [profile.name for profile in LADDER]
    if name in names[:-1]:
        return LADDER[names.index(name) + 1]
    if name == "auto":
        return LADDER[1]
    return None if name == names[-1] else LADDER[-1]
