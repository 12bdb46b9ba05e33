"""The exact covariance of what the sampler makes on the gaussian oracle.

With no prompt every step is linear in the noise. Fed with the identity matrix, one channel per
latent frame of noise, the real sampler returns the matrix ``M`` that takes noise to video, and
``M N M^T`` is the video's covariance for noise of covariance ``N``: no sampling error, no goldens.
What is left is the fp32 rounding of the sampler itself, below 1e-6.

Shape suffixes: T latent frames or slots, N latent frames of noise, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline import reference
from pipeline.boundary import BoundaryOptions
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions
from pipeline.join import Joiner
from pipeline.noise import NoiseOptions, high_pass_taps
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from pipeline.solvers import SamplerOptions
from pipeline.spans import Span, num_frames_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.boundary import BoundaryModeName
    from pipeline.solvers import SolverName

# One latent pixel is enough: the oracle treats all alike.
SIZE_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a video is sampled. The defaults are nightreel's own, with a halo of 2."""

    mode: BoundaryModeName = "halo"
    shift: bool = True
    solver: SolverName = "ab2"
    num_steps: int = 20
    shared_dc: float = 0.0
    window_latent_frames: int = 21
    num_latent_frames: int = 201


def plan_of(setting: Setting) -> VideoPlan:
    """The plan of a video of one latent pixel and as many channels as latent frames."""
    spec = replace(_engine(setting).spec, spatial_compression=SIZE_PX)
    request = VideoSpec(
        id="impulses",
        prompt="-",
        num_frames=num_frames_of(setting.num_latent_frames, spec.temporal_compression),
        width=SIZE_PX,
        height=SIZE_PX,
        num_inference_steps=setting.num_steps,
    )
    options = RenderOptions(
        boundary=BoundaryOptions(mode=setting.mode, shift=setting.shift),
        noise=NoiseOptions(shared_dc=setting.shared_dc),
        sampler=SamplerOptions(solver=setting.solver),
    )
    return plan_video(resolve(request, VideoDefaults(), spec), spec, options)


def video_covariance(setting: Setting) -> NDArray[np.float64]:
    """The covariance ``[T, T]`` of the finished latent frames; the process's own variance is 1."""
    video_from_noise_TN = _response(replace(setting, shared_dc=0.0))
    noise_NN = _noise_covariance(plan_of(setting))
    return np.asarray(video_from_noise_TN @ noise_NN @ video_from_noise_TN.T)


@lru_cache(maxsize=32)
def _response(setting: Setting) -> NDArray[np.float64]:
    """The matrix ``[T, N]`` that takes noise to video: one impulse per channel, all at once.

    Where windows keep copies, the copies of a latent frame start from the same noise, so the
    impulse goes into each of them.
    """
    plan, engine = plan_of(setting), _engine(setting)
    partition = cut(plan.boundary, 1, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    sampler = SegmentSampler(plan, partition, 0, engine, embeds)
    frames = list(plan.boundary.latent_frames(Span(0, plan.boundary.num_slots)))
    impulses_TCHW = torch.eye(plan.num_latent_frames)[frames][:, :, None, None]
    sampler.restore(0, impulses_TCHW, None)
    while sampler.step < plan.num_steps:
        sampler.advance([])
    video_TCHW = Joiner(plan.boundary).push(sampler.latents(sampler.owned))
    return video_TCHW[:, :, 0, 0].double().numpy()


def _engine(setting: Setting) -> GaussianEngine:
    options = GaussianOptions(
        channels=setting.num_latent_frames,
        window_latent_frames=setting.window_latent_frames,
        prompt_contrast=0.0,
    )
    return GaussianEngine(options)


def _noise_covariance(plan: VideoPlan) -> NDArray[np.float64]:
    """The covariance ``[N, N]`` of the noise as it is really made, cut-off taps and all."""
    count, options = plan.num_latent_frames, plan.options.noise
    if options.shared_dc == 0.0:
        return np.eye(count)
    taps = high_pass_taps(options).astype(np.float64)
    by_lag = np.zeros(count + len(taps))
    by_lag[: len(taps)] = np.correlate(taps, taps, mode="full")[len(taps) - 1 :]
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return by_lag[lag] + options.shared_dc / options.shared_dc_latent_frames
