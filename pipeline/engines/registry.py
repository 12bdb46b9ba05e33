"""Engines by name: what is known of one without loading it, and loading it.

An ``EngineOptions`` is picklable: actors load from it on their own node, after an ``EngineSource``
has brought there, and laid out as a diffusers folder, whatever it names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from pipeline.engines import gaussian
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.engines.speed import SpeedOptions
from pipeline.engines.wan.architectures import architecture, check_architecture
from pipeline.engines.wan.memory_estimate import GB, Room
from pipeline.engines.wan.memory_profile import PROFILES, RESIDENT
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.engines.protocol import Engine, EngineSpec

ENGINE_NAMES = ("wan", "gaussian")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """Low-rank changes that are merged into a checkpoint's weights.

    Attributes:
        path: a file, as a path or ``s3://``.
        scale: how much of them is added.
        expert: of two, the one that they are for: ``high`` or ``low`` noise; empty: both.
    """

    path: str
    scale: float = 1.0
    expert: Literal["", "high", "low"] = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("engine.loras = '': expected the path of a LoRA")
        if not math.isfinite(self.scale):
            raise ConfigError(f"engine.loras = {self.scale}: expected a finite scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Which engine, and how it is loaded.

    Attributes:
        name: ``wan`` or ``gaussian``.
        weights: a folder in diffusers' or the original layout, or one file of a transformer; a
            path, ``s3://bucket/prefix`` or ``hf://owner/name``; empty for the embedded model.
        weights_2: where ``weights`` is one file of two experts, that of the second (low noise).
        base: a folder with what ``weights`` lacks.
        loras: changes that are merged into the weights.
        architecture: the published model that the weights must be of, such as
            ``wan2.2-t2v-a14b``; empty: any.
        cache: a folder on every node for what is fetched and put together.
        dtype: of the transformer; what must stay fp32 stays fp32.
        device: ``auto`` takes a GPU where there is one.
        profile: what of the networks the device holds, and when; ``auto`` takes the fastest for
            which there is room.
        memory_limit_gb: of the device's memory, in units of 1e9 bytes, how much ``auto`` may count
            on at most; ``None``: all that is free.
        speed: what makes the model faster and changes its last bits.
        gaussian: the oracle's own options.
    """

    name: Literal["wan", "gaussian"] = "wan"
    weights: str = ""
    weights_2: str = ""
    base: str = ""
    loras: list[LoraOptions] = field(default_factory=list)
    architecture: str = ""
    cache: str = "~/.cache/nightreel"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    profile: Literal[
        "auto",
        "resident",
        "text-freed",
        "in-turn",
        "offloaded",
        "offloaded-tiled",
        "smallest",
        "fp8",
    ] = "auto"
    memory_limit_gb: float | None = None
    speed: SpeedOptions = field(default_factory=SpeedOptions)
    gaussian: GaussianOptions = field(default_factory=GaussianOptions)

    def __post_init__(self) -> None:
        if self.name not in ENGINE_NAMES:
            raise ConfigError(
                f"engine.name = {self.name!r}: no such engine; expected one of "
                f"{', '.join(ENGINE_NAMES)}"
            )
        for key in ("weights", "weights_2", "base", "loras", "architecture"):
            value = getattr(self, key)
            if value and self.name == "gaussian":
                raise ConfigError(f"engine.{key} = {value!r}: engine 'gaussian' has no weights")
        limit_gb = self.memory_limit_gb
        if limit_gb is not None and not (math.isfinite(limit_gb) and limit_gb > 0):
            raise ConfigError(f"engine.memory_limit_gb = {limit_gb}: expected more than 0, or null")
        for key, value in self.speed.changes.items() if self.name == "gaussian" else ():
            raise ConfigError(f"engine.speed.{key} = {value!r}: engine 'gaussian' has no network")
        if self.architecture:
            architecture(self.architecture)
        for key in ("weights_2", "base"):
            if getattr(self, key) and not self.weights:
                raise ConfigError(
                    f"engine.{key} = {getattr(self, key)!r}: expected engine.weights too"
                )

    @property
    def size(self) -> None:
        """As large as videos of the engine's own size. An ``EngineSource``."""

    def local(self) -> EngineOptions:
        """Itself: with a folder on this machine there is nothing to bring. An ``EngineSource``."""
        return self

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        if self.weights:
            return Path(self.weights)
        from pipeline.embedded import weights_folder  # noqa: PLC0415

        return weights_folder()


class EngineSource(Protocol):
    """A picklable recipe: each node calls it to have the engine's files on its own disk."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """Pixels (width, height) of most videos; ``None``: the engine's own."""
        ...

    def local(self) -> EngineOptions:
        """Options whose ``folder`` can be read on this machine.

        Raises:
            WeightsError: there are no such weights, or they make no checkpoint.
            StoreError: the store that they are in said no.
        """
        ...


def read_spec(options: EngineOptions) -> EngineSpec:
    """What is known of the engine without loading its weights.

    Raises:
        WeightsError: the folder is not a checkpoint that this engine can read.
    """
    if options.name == "gaussian":
        return gaussian.spec(options.gaussian)
    from pipeline.engines import wan  # noqa: PLC0415

    _check_architecture(options)
    return wan.spec(options.folder)


def load_engine(options: EngineOptions) -> Engine:
    """Load the engine onto its device.

    Raises:
        WeightsError: weights are missing or damaged.
        ConfigError: ``engine.speed`` asks for what can't be had here.
    """
    if options.name == "gaussian":
        return GaussianEngine(options.gaussian)
    from pipeline.engines import wan  # noqa: PLC0415

    _check_architecture(options)
    device = device_of(options)
    profile = PROFILES.get(options.profile, RESIDENT).on(device.type)
    dtype = _DTYPES[options.dtype]
    return wan.load(options.folder, device, dtype, profile=profile, speed=options.speed)


def device_of(options: EngineOptions) -> torch.device:
    """Where the engine runs."""
    if options.device != "auto":
        return torch.device(options.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit_engine(
    options: EngineOptions, room: Room, size: tuple[int, int] | None = None
) -> tuple[EngineOptions, str]:
    """Settle on a memory profile, before anything is loaded.

    Args:
        options: the engine; a profile that it names is kept.
        room: what is free on its device, and beside it.
        size: pixels (width, height) of the videos; ``None``: the checkpoint's own size.

    Returns:
        Options that name their profile, and what that takes of what is there, for logs; nothing
        where the engine has no profiles.

    Raises:
        WeightsError: the checkpoint's configuration is damaged.
        MemoryExceededError: not even the thriftiest profile fits.
    """
    if options.name == "gaussian":
        return options, ""
    from pipeline.engines.wan.estimator import fitting  # noqa: PLC0415

    if options.memory_limit_gb is not None:
        room = room.limited(int(options.memory_limit_gb * GB))
    dtype, batch = _DTYPES[options.dtype], 2 if options.speed.batch_guidance else 1
    name, said = fitting(options.folder, dtype, options.profile, room, size, batch=batch)
    return replace(options, profile=name), said


def _check_architecture(options: EngineOptions) -> None:
    if options.architecture:
        check_architecture(options.architecture, options.folder)


_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
