"""The sidecar: what a person or a program may want to know of a finished video later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING

from actors.cluster import accelerators
from jobs.config import numeric_options
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.numerics import NUMERICS_VERSION
from pipeline.quality.measure import as_figures, as_plain

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.second_take import Made

SIDECAR_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What a video took.

    Attributes:
        total_s, sampling_s: seconds in all, and from the first step to the last.
        compute_s: seconds of steps, the sum over all actors.
        waited_s: of these, in which the actor's model delivered another video.
        delivery_s: seconds from the first frame to the end of the upload, without those in which
            the model sampled another video.
        num_windows, boundary_bytes, num_segments: counts.
    """

    total_s: float
    sampling_s: float
    compute_s: float
    waited_s: float
    delivery_s: float
    num_windows: int
    boundary_bytes: int
    num_segments: int


def sidecar_json(made: Made, timings: Timings, profiles: Collection[str] = ()) -> bytes:
    """The sidecar of one video, as JSON that reads well.

    Args:
        made: the video.
        timings: what it took.
        profiles: the memory profiles that its steps were computed with.
    """
    delivered, plan, info = made.delivered, made.row.plan, made.delivered.info
    content = {
        "format": SIDECAR_FORMAT,
        "id": plan.request.id,
        "fingerprint": made.row.fingerprint,
        "ai_generated": True,
        "nightreel": version("nightreel"),
        "numerics_version": NUMERICS_VERSION,
        "request": asdict(plan.request),
        "prompts": [
            {"start_s": start_s, "prompt": prompt}
            for start_s, prompt in zip(plan.timeline.starts_s, plan.timeline.prompts, strict=True)
        ],
        "engine": asdict(plan.engine),
        "hardware": "cpu" if made.config.engine.device == "cpu" else accelerators(),
        "options": {k: v for k, v in numeric_options(made.config).items() if v is not None},
        "num_latent_frames": plan.num_latent_frames,
        "decode_is_exact": _decode_is_exact(made),
        "sigmas": [level.sigma for level in plan.levels],
        "safe_settings": made.is_safe,
        "memory": _memory({*profiles, *delivered.profiles}),
        "quality": as_plain(delivered.quality) if delivered.quality else None,
        "figures": as_figures(delivered.quality) if delivered.quality else {},
        "timings": asdict(timings),
        "video": {
            **asdict(delivered.video),
            **{name: _plain(value) for name, value in asdict(info).items()},
        },
        "poster": asdict(delivered.poster),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _decode_is_exact(made: Made) -> bool:
    """Whether frames are those of one whole stream: as was asked for, and by whoever decoded."""
    reach = made.row.plan.engine.decode_reach_latent_frames
    in_tiles = any(PROFILES[name].tiled_decode for name in made.delivered.profiles)
    return made.config.decode.is_exact_for(reach) and not in_tiles


def _memory(names: set[str]) -> object:
    """Profiles, and whether every bit is what it would be with all memory; none of the oracle."""
    profiles = [PROFILES[name] for name in PROFILES if name in names]
    if not profiles:
        return None
    is_exact = all(profile.is_exact for profile in profiles)
    return {"profiles": [profile.name for profile in profiles], "is_exact": is_exact}


def _plain(value: object) -> object:
    """Exact rationals as JSON can hold them: whole numbers as such, others as ``24000/1001``."""
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else str(value)
    return value
