"""How fast an engine was: from the sidecars of finished videos, else assumed where that is fair."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from jobs.estimate import Pace
from storage.keys import VIDEOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobs.settings import JobConfig
    from pipeline.engines.protocol import EngineSpec
    from storage.stored import StoreWithListing

# The newest videos of an output; what older ones took says less of tonight.
MAX_VIDEOS: Final = 20
SPEED: Final = "engine.speed."

# Measured with the embedded model on one core of a server's CPU that had nothing else to do.
_EMBEDDED: Final = Pace(
    source="assumed",
    hardware="cpu",
    origin="the embedded model on one core of an AMD EPYC",
    window_s_per_cost=0.21 / (13 * 8 * 14 * 2),
    tail_s_per_pixel=0.064 / (112 * 64),
    bytes_per_pixel=0.05,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one finished video took."""

    hardware: str
    width: int
    height: int
    window_s_per_cost: float
    tail_s_per_pixel: float
    bytes_per_pixel: float


def pace_for(
    config: JobConfig,
    engine: EngineSpec,
    stores: Iterable[StoreWithListing] = (),
    hardware: str | None = None,
) -> Pace | None:
    """The pace of an engine.

    Args:
        config: the job's.
        engine: what is known of it.
        stores: outputs whose finished videos are looked at.
        hardware: on what; ``None``: on what most of them were rendered.

    Returns:
        Measured where there are such videos, assumed for the embedded model on a CPU, else nothing.

    Raises:
        StoreError: a store refused.
    """
    found = [
        measured
        for store in stores
        for measured in islice(_measured(store, config, engine), MAX_VIDEOS)
        if hardware is None or measured.hardware.casefold() == hardware.casefold()
    ]
    if found:
        return _median(found)
    is_embedded = config.engine.name == "wan" and not config.engine.weights
    if is_embedded and hardware in {None, "cpu"}:
        return _EMBEDDED
    return None


def _median(found: list[Measured]) -> Pace:
    ((hardware, _),) = Counter(each.hardware for each in found).most_common(1)
    same = [each for each in found if each.hardware == hardware]
    sizes = sorted({f"{each.width}x{each.height}" for each in same})
    return Pace(
        source="measured",
        hardware=hardware,
        origin=f"{len(same)} finished videos of {', '.join(sizes)}",
        window_s_per_cost=median(each.window_s_per_cost for each in same),
        tail_s_per_pixel=median(each.tail_s_per_pixel for each in same),
        bytes_per_pixel=median(each.bytes_per_pixel for each in same),
    )


def _measured(store: StoreWithListing, config: JobConfig, engine: EngineSpec) -> Iterator[Measured]:
    """What finished videos of the same engine took, the newest first."""
    sidecars = [found for found in store.list_objects(VIDEOS) if found.key.endswith(".json")]
    for found in sorted(sidecars, key=lambda found: found.modified_at, reverse=True):
        try:
            values = json.loads(store.get_bytes(found.key))
            if _is_same(values, config, engine):
                yield _read(values)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            continue  # not a sidecar of ours, or a video of which nothing was left to sample


def _is_same(values: dict[str, Any], config: JobConfig, engine: EngineSpec) -> bool:
    options, speed = values["options"], config.engine.speed.changes
    return bool(
        values["engine"]["weights_digest"] == engine.weights_digest
        and options["engine.dtype"] == config.engine.dtype
        and {key: value for key, value in options.items() if key.startswith(SPEED)}
        == {f"{SPEED}{name}": value for name, value in speed.items()}
    )


def _read(values: dict[str, Any]) -> Measured:
    request, spec, timings = values["request"], values["engine"], values["timings"]
    width, height = request["width"], request["height"]
    factor = spec["spatial_compression"]
    length = min(spec["window_latent_frames"], values["num_latent_frames"])
    cost = length * (height // factor) * (width // factor)
    cost *= 2 if request["guidance_scale"] > 1.0 else 1
    num_pixels = request["num_frames"] * width * height
    # Earlier sidecars don't say what of it was another video's.
    sampling_s = timings["compute_s"] - timings.get("waited_s", 0.0)
    tail_s = timings.get("delivery_s", timings["total_s"] - timings["sampling_s"])
    return Measured(
        hardware=values.get("hardware") or "unknown",
        width=width,
        height=height,
        window_s_per_cost=sampling_s / (timings["num_windows"] * cost),
        tail_s_per_pixel=tail_s / num_pixels,
        bytes_per_pixel=values["video"]["size_bytes"] / num_pixels,
    )
