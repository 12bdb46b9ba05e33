"""What an engine registry calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engines.speed import SpeedOptions
from pipeline.engines.wan.checkpoint import read_spec
from pipeline.engines.wan.memory_profile import RESIDENT

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from pipeline.engines.protocol import Engine, EngineSpec
    from pipeline.engines.wan.memory_profile import MemoryProfile


def spec(folder: Path) -> EngineSpec:
    """What a checkpoint folder can be rendered with. Imports neither torch nor diffusers.

    Raises:
        WeightsError: a file is missing or damaged, or the parts don't fit together.
    """
    return read_spec(folder)


def load(
    folder: Path,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    profile: MemoryProfile = RESIDENT,
    speed: SpeedOptions = SpeedOptions(),  # noqa: B008  # frozen
) -> Engine:
    """Load a checkpoint folder onto a device, or as much of it as ``profile`` keeps there.

    Raises:
        WeightsError: something is missing, damaged or does not fit.
        ConfigError: ``speed`` asks for what can't be had here.
    """
    # diffusers and transformers take seconds to import: only who loads weights pays for them.
    from pipeline.engines.wan.engine import WanEngine  # noqa: PLC0415
    from pipeline.engines.wan.paired import PairedWanEngine  # noqa: PLC0415

    engine = PairedWanEngine if speed.batch_guidance else WanEngine
    return engine.load(folder, device=device, dtype=dtype, profile=profile, speed=speed)
