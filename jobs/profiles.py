"""What each memory profile takes of a GPU, for the published models: ``nightreel profiles``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from rich.table import Table

from pipeline.engines.wan.architectures import ARCHITECTURES
from pipeline.engines.wan.blueprint import Blueprint
from pipeline.engines.wan.estimator import Estimator
from pipeline.engines.wan.memory_estimate import CUDA_MARGIN_BYTES, GB, MARGIN_SHARE, Room
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.errors import MemoryExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.engines.wan.memory_estimate import MemoryEstimate

# As GPUs are sold, and what a driver says is free on an idle one, in units of 1e9 bytes.
GPUS_GB = {24: 25.2, 48: 50.9, 80: 84.4}
NOTE = (
    "GB = 1e9 bytes of a GPU, and of the machine's memory in brackets, in bfloat16, with a margin "
    f"of {MARGIN_SHARE:.0%} and {CUDA_MARGIN_BYTES / 2**30:g} GiB. Under a GPU stands the profile "
    "that 'auto' takes on it; * is not exact."
)


def profiles_table(names: Sequence[str] = ()) -> Table:
    """One row per model: what every profile takes, and which one a GPU of some sizes gets.

    Args:
        names: models, as in ``engine.architecture``; none: all that are published.

    Raises:
        ConfigError: there is no such model.
    """
    table = Table(title="nightreel profiles", title_justify="left", caption=NOTE)
    for heading in ("model", "size", *PROFILES, *(f"{size} GB" for size in GPUS_GB)):
        table.add_column(heading)
    for name in names or ARCHITECTURES:
        table.add_row(*_row(name))
    return table


def _row(name: str) -> Iterator[str]:
    estimator = published(name)
    model = ARCHITECTURES[name]
    yield name
    yield f"{model.width}x{model.height}"
    for profile in PROFILES.values():
        yield _figure(estimator.of(profile))
    for free_gb in GPUS_GB.values():
        yield _taken(estimator, free_gb)


def published(name: str, size: tuple[int, int] | None = None) -> Estimator:
    """Estimates of a published model on a GPU, for its own size or another (width, height).

    Raises:
        ConfigError: there is no such model.
    """
    blueprint, model = Blueprint.published(name), ARCHITECTURES[name]
    width, height = size or (model.width, model.height)
    scale = int(blueprint.vae.get("scale_factor_spatial", 8))
    return Estimator(
        title=name,
        blueprint=blueprint,
        dtype=torch.bfloat16,
        device_type="cuda",
        height=height // scale,
        width=width // scale,
    )


def _figure(estimate: MemoryEstimate) -> str:
    host = f" ({estimate.host_bytes / GB:.0f})" if estimate.host_bytes else ""
    return f"{estimate.device_bytes / GB:.1f}{host}"


def _taken(estimator: Estimator, free_gb: float) -> str:
    try:
        taken = estimator.best(Room(device_type="cuda", device_bytes=int(free_gb * GB)))
    except MemoryExceededError:
        return "none"
    return taken.profile.name + ("" if taken.profile.is_exact else " *")
