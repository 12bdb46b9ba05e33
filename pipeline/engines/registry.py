"""Engines by name: what is known of one without loading it, and loading it.

An ``EngineOptions`` is picklable and complete: actors load from it on their own node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from pipeline.engines import gaussian
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.engines.protocol import Engine, EngineSpec

ENGINE_NAMES = ("wan", "gaussian")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Which engine, and how it is loaded.

    Attributes:
        name: ``wan`` or ``gaussian``.
        weights: a diffusers-layout folder; empty for the embedded model.
        dtype: of the transformer; what must stay fp32 stays fp32.
        device: ``auto`` takes a GPU where there is one.
        gaussian: the oracle's own options.
    """

    name: Literal["wan", "gaussian"] = "wan"
    weights: str = ""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gaussian: GaussianOptions = field(default_factory=GaussianOptions)

    def __post_init__(self) -> None:
        if self.name not in ENGINE_NAMES:
            raise ConfigError(
                f"engine.name = {self.name!r}: no such engine; expected one of "
                f"{', '.join(ENGINE_NAMES)}"
            )
        if self.weights and self.name == "gaussian":
            raise ConfigError(
                f"engine.weights = {self.weights!r}: engine 'gaussian' has no weights"
            )

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        if self.weights:
            return Path(self.weights)
        from pipeline.embedded import weights_folder  # noqa: PLC0415

        return weights_folder()


def read_spec(options: EngineOptions) -> EngineSpec:
    """What is known of the engine without loading its weights.

    Raises:
        WeightsError: the folder is not a checkpoint that this engine can read.
    """
    if options.name == "gaussian":
        return gaussian.spec(options.gaussian)
    from pipeline.engines import wan  # noqa: PLC0415

    return wan.spec(options.folder)


def load_engine(options: EngineOptions) -> Engine:
    """Load the engine onto its device.

    Raises:
        WeightsError: weights are missing or damaged.
    """
    if options.name == "gaussian":
        return GaussianEngine(options.gaussian)
    from pipeline.engines import wan  # noqa: PLC0415

    device: str = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return wan.load(options.folder, device=torch.device(device), dtype=_DTYPES[options.dtype])


_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
