"""A video's plan: everything about how it will be made that can be known before making it.

A plan is a pure function of the request, the engine and the options. It says nothing of actors: any
number of them may carry it out, and the finished latents are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.boundary import BoundaryOptions
from pipeline.errors import ConfigError
from pipeline.layout import lay_out
from pipeline.noise import NoiseOptions
from pipeline.prompts import PromptOptions, PromptTimeline, timeline
from pipeline.schedule import flow_match_levels, unipc_levels
from pipeline.solvers import SamplerOptions
from pipeline.spans import centre_s, num_latent_frames_for

if TYPE_CHECKING:
    from pipeline.boundary import Boundary
    from pipeline.engines.protocol import EngineSpec, NoiseLevel
    from pipeline.image import FittedImage
    from pipeline.request import VideoRequest
    from pipeline.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """Every choice that changes numbers and is not the request's or the engine's own."""

    boundary: BoundaryOptions = field(default_factory=BoundaryOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    prompts: PromptOptions = field(default_factory=PromptOptions)

    def __post_init__(self) -> None:
        if self.sampler.solver == "unipc" and self.boundary.mode == "decay":
            raise ConfigError(
                "sampler.solver = 'unipc': boundary.mode = 'decay' moves latents between steps, "
                "which this solver's corrector takes back; expected ab2 or euler"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """How one video is made.

    Attributes:
        request: what was asked for.
        engine: which engine makes it.
        options: the choices that change numbers.
        num_latent_frames: the fewest that hold the frames asked for; surplus frames are trimmed
        when
            the video is encoded.
        levels: noise levels, one more than there are steps.
        boundary: windows, borders and couplings, laid out over the video.
        timeline: what is asked for at any time.
        image: the image that the request speaks of.
    """

    request: VideoRequest
    engine: EngineSpec
    options: RenderOptions
    num_latent_frames: int
    levels: tuple[NoiseLevel, ...]
    boundary: Boundary
    timeline: PromptTimeline
    image: FittedImage | None = None

    @property
    def num_steps(self) -> int:
        """Denoising steps."""
        return len(self.levels) - 1

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one latent frame."""
        return self.engine.latent_shape(self.request.width, self.request.height)

    @property
    def is_guided(self) -> bool:
        """Whether classifier-free guidance needs a second forward.

        As diffusers decides it: by the first expert's scale, for both.
        """
        return self.request.guidance_scale > 1.0

    def guidance_scale_at(self, step: int) -> float:
        """Of the expert that predicts at ``step``."""
        boundary, second = self.engine.boundary_timestep, self.request.guidance_scale_2
        if boundary is None or second is None or self.levels[step].timestep >= boundary:
            return self.request.guidance_scale
        return second

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every text that must be encoded, each once, in a fixed order."""
        texts = [*self.timeline.prompts]
        if self.is_guided:
            texts.append(self.request.negative_prompt)
        return tuple(dict.fromkeys(texts))

    def shares_of(self, window: Window) -> tuple[tuple[str, float], ...]:
        """The prompts that a window is conditioned on: those in force at the middle of its core."""
        frames = self.boundary.latent_frames(window.core)
        compression, fps = self.engine.temporal_compression, self.engine.fps
        ends_s = [centre_s(frame, compression, fps) for frame in (frames[0], frames[-1])]
        return self.timeline.mixture(sum(ends_s) / 2)


def plan_video(
    request: VideoRequest,
    engine: EngineSpec,
    options: RenderOptions,
    image: FittedImage | None = None,
) -> VideoPlan:
    """Lay a request out over an engine's windows.

    Args:
        request: with nothing left open.
        engine: which makes it.
        options: the choices that change numbers.
        image: the pixels of ``request.image``.

    Raises:
        ConfigError: the boundary options don't fit the engine's window.
    """
    found, wanted = image and image.digest, request.image and request.image.digest
    assert found == wanted, f"image {found}, the request speaks of {wanted}"
    num_latent_frames = num_latent_frames_for(request.num_frames, engine.temporal_compression)
    return VideoPlan(
        request=request,
        engine=engine,
        options=options,
        num_latent_frames=num_latent_frames,
        levels=_levels(request, options.sampler),
        boundary=lay_out(
            options.boundary,
            num_latent_frames=num_latent_frames,
            window_latent_frames=engine.window_latent_frames,
            temporal_compression=engine.temporal_compression,
            num_steps=request.num_inference_steps,
        ),
        timeline=timeline(request.prompt, request.events, options.prompts),
        image=image,
    )


def _levels(request: VideoRequest, sampler: SamplerOptions) -> tuple[NoiseLevel, ...]:
    made_by = unipc_levels if sampler.solver == "unipc" else flow_match_levels
    return made_by(request.num_inference_steps, request.flow_shift)
