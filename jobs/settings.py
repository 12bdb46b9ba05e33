"""Everything that can be set for a job, as one frozen tree, checked as a whole.

A section stands beside the code that it is for, where there is such code; here are the sections
that speak of the job itself, and the root. Reading them from files is ``jobs.config``'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from actors.cluster import LOCAL, ClusterOptions
from actors.cuts import CheckpointOptions
from actors.placement import GangOptions
from jobs.hooks import HookOptions
from pipeline.boundary import BoundaryOptions
from pipeline.decode_options import DecodeOptions
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.engines.registry import EngineOptions
from pipeline.errors import ConfigError
from pipeline.image import ImageOptions
from pipeline.noise import NoiseOptions
from pipeline.plan import RenderOptions
from pipeline.prompts import PromptOptions
from pipeline.quality.gate import QualityOptions
from pipeline.request import MAX_SEED, VideoDefaults
from pipeline.solvers import SamplerOptions
from storage.connection import S3Options
from storage.images import ImageSource
from storage.leases import LeaseOptions
from storage.location import HUB, parse_location

# Ray refuses a smaller object store.
MIN_OBJECT_STORE_BYTES = 75 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What is kept beside the video.

    Attributes:
        keep_latents: retention of the finished latents: ``never`` stored at all, ``until_done`` so
            that a lost decoder need not sample again, or ``always``.
        keep_checkpoints: retention of what a video in the making is taken up from: ``until_done``,
            so that the next run goes on where a failure was, ``until_failed``, or ``always``. Only
            the newest is ever there: an older one goes when a newer one is whole, and the newest of
            a finished video is its latents, unless those are never stored.
    """

    keep_latents: Literal["never", "until_done", "always"] = "until_done"
    keep_checkpoints: Literal["until_failed", "until_done", "always"] = "until_done"

    @property
    def keeps_for_good(self) -> bool:
        """Whether anything but the video itself outlives its making."""
        return "always" in {self.keep_latents, self.keep_checkpoints}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a job goes about its rows.

    Attributes:
        max_attempts: runs in which a video may fail before later runs leave it alone; ``nightreel
            retry`` and a change of the request start anew.
    """

    max_attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class JobConfig:
    """Everything that can be set for a job."""

    engine: EngineOptions = field(default_factory=EngineOptions)
    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    boundary: BoundaryOptions = field(default_factory=BoundaryOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    prompts: PromptOptions = field(default_factory=PromptOptions)
    defaults: VideoDefaults = field(default_factory=VideoDefaults)
    image: ImageOptions = field(default_factory=ImageOptions)
    gang: GangOptions = field(default_factory=GangOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    job: JobOptions = field(default_factory=JobOptions)
    lease: LeaseOptions = field(default_factory=LeaseOptions)
    hooks: HookOptions = field(default_factory=HookOptions)
    store: S3Options = field(default_factory=S3Options)
    ray: ClusterOptions = field(default_factory=ClusterOptions)

    def __post_init__(self) -> None:
        _ = self.render_options, self.image_source
        _check_engine(self.engine)
        _check_defaults(self.defaults)
        _check_ray(self.ray)
        _at_least("job.max_attempts", self.job.max_attempts, 1)

    @property
    def render_options(self) -> RenderOptions:
        """The sections that change numbers, as plans take them.

        Raises:
            ConfigError: they don't fit together.
        """
        return RenderOptions(
            boundary=self.boundary, noise=self.noise, sampler=self.sampler, prompts=self.prompts
        )

    @property
    def image_source(self) -> ImageSource:
        """Where rows may take images from; connects to nothing yet.

        Raises:
            ConfigError: a prefix can't be understood.
        """
        return ImageSource(self.image.prefixes, self.store, self.image.max_bytes)


def _check_engine(engine: EngineOptions) -> None:
    places = {key: getattr(engine, key) for key in ("weights", "weights_2", "base")}
    for key, place in (*places.items(), *(("loras", lora.path) for lora in engine.loras)):
        if place and not place.startswith(HUB):
            try:
                parse_location(place)
            except ConfigError as error:
                raise ConfigError(f"engine.{key} = {place!r}: {error}") from None


def _check_defaults(defaults: VideoDefaults) -> None:
    _positive("defaults.duration_s", defaults.duration_s)
    for name in ("width", "height", "num_inference_steps"):
        value = getattr(defaults, name)
        if value is not None:
            _at_least(f"defaults.{name}", value, 1)
    for name in ("guidance_scale", "guidance_scale_2"):
        scale = getattr(defaults, name)
        if scale is not None:
            _not_negative(f"defaults.{name}", scale)
    if defaults.flow_shift is not None:
        _positive("defaults.flow_shift", defaults.flow_shift)
    if defaults.seed is not None and not 0 <= defaults.seed <= MAX_SEED:
        raise ConfigError(f"defaults.seed = {defaults.seed}: expected 0 to {MAX_SEED}")


def _check_ray(ray: ClusterOptions) -> None:
    least = {"num_cpus": 1, "object_store_memory_bytes": MIN_OBJECT_STORE_BYTES}
    for name, at_least in least.items():
        value = getattr(ray, name)
        if value is None:
            continue
        _at_least(f"ray.{name}", value, at_least)
        if ray.address not in {"", LOCAL}:
            raise ConfigError(
                f"ray.{name} = {value}: a running cluster (ray.address = {ray.address!r}) "
                "has its own"
            )
    if not ray.namespace:
        raise ConfigError("ray.namespace = '': expected a name")


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{key} = {value}: expected at least {least}")


def _positive(key: str, value: float) -> None:
    if not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{key} = {value}: expected a positive finite number")


def _not_negative(key: str, value: float) -> None:
    if not math.isfinite(value) or value < 0:
        raise ConfigError(f"{key} = {value}: expected a finite number, 0 or more")
