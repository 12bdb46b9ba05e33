"""What a person asks for: one video, first as written, then complete.

``VideoSpec`` is a manifest row as its author wrote it: whatever is left out is ``None``.
``VideoRequest`` is the same video with nothing left open, fit for one engine.
``resolve`` turns the first into the second or says, by column, why it can't.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from pipeline.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engines.protocol import EngineSpec

MAX_SEED = 2**63 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """From ``start_s`` seconds on, until the next event, the video shows ``prompt``."""

    start_s: float
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSpec:
    """One video as its author wrote it; ``None`` means: take the job's or the engine's default."""

    id: str
    prompt: str | None = None
    events: tuple[PromptEvent, ...] = ()
    negative_prompt: str | None = None
    seed: int | None = None
    duration_s: float | None = None
    num_frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    image: str | None = None
    priority: int = 0
    deadline: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoDefaults:
    """What a job fills in where a row is silent; ``None`` leaves it to the engine."""

    negative_prompt: str = ""
    seed: int | None = None
    duration_s: float = 10.0
    width: int | None = None
    height: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    flow_shift: float | None = None
    retime: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedImage:
    """The image that a video begins with, by what decides its pixels.

    Attributes:
        digest: hash of the file's bytes.
        fit: how it was brought to the video's size; ``exact`` where nothing had to be done to its
            shape.
        anchor: which windows see it: the ``first_frame``'s, or ``every_window``.
    """

    digest: str
    fit: Literal["exact", "crop", "pad", "stretch"]
    anchor: Literal["first_frame", "every_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """One video with nothing left open.

    ``num_frames`` counts frames at the engine's own rate ``engine_fps``; ``fps`` is the rate of the
    finished file, and differs from it only where the job allows ``retime``: the same duration,
    frames repeated or dropped by the encoder. ``guidance_scale_2`` is the second expert's, where
    there are two.
    """

    id: str
    prompt: str
    events: tuple[PromptEvent, ...]
    negative_prompt: str
    seed: int
    num_frames: int
    width: int
    height: int
    fps: float
    engine_fps: float
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    priority: int = 0
    deadline: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    guidance_scale_2: float | None = None
    image: RequestedImage | None = None
    image_uri: str | None = None

    @property
    def duration_s(self) -> float:
        """Length of the finished video in seconds."""
        return self.num_frames / self.engine_fps


def resolve(spec: VideoSpec, defaults: VideoDefaults, engine: EngineSpec) -> VideoRequest:
    """Fill in what ``spec`` leaves open and check it against what ``engine`` can make.

    Nothing is rounded: a size that the engine can't make is an error that names the nearest ones.
    The image itself, if there is one, is added by whoever may fetch it.

    Raises:
        RequestError: with the column at fault, the value found and what was expected.
    """
    _check_prompts(spec)
    _check_image(spec, engine)
    width, height = _size(spec, defaults, engine)
    engine_fps = engine.fps
    fps = engine_fps if spec.fps is None else spec.fps
    if fps != engine_fps and not defaults.retime:
        raise RequestError(
            "fps",
            fps,
            f"engine '{engine.name}' makes {engine_fps:g} frames a second; "
            "set defaults.retime=true to repeat or drop frames",
        )
    seed = spec.seed if spec.seed is not None else defaults.seed
    return VideoRequest(
        id=spec.id,
        prompt=spec.prompt or "",
        events=tuple(sorted(spec.events, key=lambda event: event.start_s)),
        negative_prompt=_first(spec.negative_prompt, defaults.negative_prompt, ""),
        seed=seed_of_id(spec.id) if seed is None else seed,
        num_frames=_num_frames(spec, defaults, engine_fps),
        width=width,
        height=height,
        fps=fps,
        engine_fps=engine_fps,
        num_inference_steps=_first(
            spec.num_inference_steps, defaults.num_inference_steps, engine.num_inference_steps
        ),
        guidance_scale=_first(spec.guidance_scale, defaults.guidance_scale, engine.guidance_scale),
        flow_shift=_first(defaults.flow_shift, engine.flow_shift),
        priority=spec.priority,
        deadline=spec.deadline,
        metadata=dict(spec.metadata),
        guidance_scale_2=_guidance_scale_2(spec, defaults, engine),
    )


def seed_of_id(video_id: str) -> int:
    """The seed of a row that names none: a hash of its id: rows differ, reruns agree."""
    return int.from_bytes(hashlib.blake2b(video_id.encode(), digest_size=8).digest()) & MAX_SEED


def _first(*values: T | None) -> T:
    return next(value for value in values if value is not None)


def _check_prompts(spec: VideoSpec) -> None:
    if not (spec.prompt or "").strip() and not spec.events:
        raise RequestError("prompt", spec.prompt, "a prompt or events are required")


def _check_image(spec: VideoSpec, engine: EngineSpec) -> None:
    if spec.image is not None and engine.image == "none":
        raise RequestError("image", spec.image, f"engine '{engine.name}' takes no image")
    if spec.image is None and engine.image == "channels":
        reason = f"engine '{engine.name}' makes videos from images alone; expected a URI"
        raise RequestError("image", None, reason)


def _guidance_scale_2(spec: VideoSpec, defaults: VideoDefaults, engine: EngineSpec) -> float | None:
    """The second expert's; as in diffusers it is the first's unless it is said.

    The engine's own pair is for those who say nothing of either.
    """
    said = spec.guidance_scale_2 if spec.guidance_scale_2 is not None else defaults.guidance_scale_2
    if engine.boundary_timestep is None:
        if said is not None:
            reason = f"engine '{engine.name}' has no second expert; leave it out"
            raise RequestError("guidance_scale_2", said, reason)
        return None
    if said is not None:
        return said
    first = spec.guidance_scale if spec.guidance_scale is not None else defaults.guidance_scale
    if first is not None:
        return first
    return _first(engine.guidance_scale_2, engine.guidance_scale)


def _num_frames(spec: VideoSpec, defaults: VideoDefaults, engine_fps: float) -> int:
    if spec.num_frames is not None:
        return spec.num_frames
    duration_s = defaults.duration_s if spec.duration_s is None else spec.duration_s
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise RequestError("duration_s", duration_s, "expected a positive number of seconds")
    return max(1, round(duration_s * engine_fps))


def _size(spec: VideoSpec, defaults: VideoDefaults, engine: EngineSpec) -> tuple[int, int]:
    width = _first(spec.width, defaults.width, engine.width)
    height = _first(spec.height, defaults.height, engine.height)
    for column, value in (("width", width), ("height", height)):
        nearest = nearest_multiples(value, engine.size_multiple_px)
        if value not in nearest:
            options = " or ".join(str(size) for size in nearest)
            raise RequestError(
                column,
                value,
                f"engine '{engine.name}' makes multiples of {engine.size_multiple_px}; "
                f"the nearest are {options}",
            )
    return width, height


def nearest_multiples(value: int, multiple: int) -> tuple[int, ...]:
    """The positive multiples nearest to ``value``: itself alone if it is one, else one or two."""
    below = value // multiple * multiple
    if below == value and value > 0:
        return (value,)
    return tuple(size for size in (below, below + multiple) if size > 0)
