"""The exact covariance of what the sampler makes on the gaussian oracle.

Every step is linear in the noise. Fed with the identity matrix, one channel per latent frame of noise, the
real sampler returns the matrix ``M`` that takes noise to video, and ``M N M^T`` is the video's covariance
for noise of covariance ``N``: no sampling error, no goldens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline import reference
from pipeline.boundary import BoundaryOptions
from pipeline.engines.gaussian import GaussianEngine, GaussianOptions, correlation
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    mode: BoundaryModeName = "halo"
    shift: bool = True
    solver: SolverName = "ab2"
    num_steps: int = 20
    shared_dc: float = 0.0
    window_latent_frames: int = 21
    num_latent_frames: int = 201


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What a covariance says about seams.

    Attributes:
        energy: frame-difference energy at every position over its median; 1.00 is no seam.
        variance: variance of every latent frame (the process's own is 1).
        joins: positions where two windows of the last step meet (between frame i and i + 1).
        correlation_40, correlation_80: mean correlation of frames 40 and 80 latent frames apart.
    """

    energy: NDArray[np.float64]
    variance: NDArray[np.float64]
    joins: tuple[int, ...]
    correlation_40: float
    correlation_80: float

    @property
    def variance_in_joins(self) -> tuple[float, float]:
        """Lowest and highest variance within two latent frames of a join."""
        near = [i for j in self.joins for i in range(max(0, j - 1), min(j + 3, len(self.variance)))]
        chosen = self.variance[near] if near else self.variance
        return float(chosen.min()), float(chosen.max())


def target_correlation(lag: int) -> float:
    """The process's own correlation at a lag."""
    return float(correlation(np.array([lag]))[0])


def seams(setting: Setting) -> Seams:
    """Run the real sampler on impulses and read the result's covariance."""
    plan, engine = _plan(setting)
    video_from_noise = _response(plan, engine)
    noise = _noise_covariance(plan)
    video = video_from_noise @ noise @ video_from_noise.T
    variance = np.diag(video)
    difference = variance[1:] + variance[:-1] - 2.0 * np.diag(video, 1)
    return Seams(
        energy=difference / np.median(difference),
        variance=variance,
        joins=_joins(plan),
        correlation_40=_mean_correlation(video, 40),
        correlation_80=_mean_correlation(video, 80),
    )


def _plan(setting: Setting) -> tuple[VideoPlan, GaussianEngine]:
    count = setting.num_latent_frames
    options = GaussianOptions(
        channels=count, window_latent_frames=setting.window_latent_frames, prompt_contrast=0.0
    )
    engine = GaussianEngine(options)
    spec = VideoSpec(
        id="impulses",
        prompt="-",
        num_frames=num_frames_of(count, engine.spec.temporal_compression),
        width=16,
        height=16,
        num_inference_steps=setting.num_steps,
    )
    render = RenderOptions(
        boundary=BoundaryOptions(mode=setting.mode, shift=setting.shift),
        noise=NoiseOptions(shared_dc=setting.shared_dc),
        sampler=SamplerOptions(solver=setting.solver),
    )
    thin = replace(engine.spec, spatial_compression=16)
    return plan_video(resolve(spec, VideoDefaults(), thin), thin, render), engine


def _response(plan: VideoPlan, engine: GaussianEngine) -> NDArray[np.float64]:
    sampler = SegmentSampler(
        plan,
        cut(plan.boundary, 1, plan.num_steps),
        0,
        engine,
        reference.encode_prompts(plan, engine),
    )
    frames = list(plan.boundary.latent_frames(Span(0, plan.boundary.num_slots)))
    impulses_TCHW = torch.eye(plan.num_latent_frames)[frames][:, :, None, None]
    sampler.restore(0, impulses_TCHW, None)
    while sampler.step < plan.num_steps:
        sampler.advance([])
    latents_TCHW = Joiner(plan.boundary).push(sampler.latents(sampler.owned))
    return latents_TCHW[:, :, 0, 0].double().numpy()


def _noise_covariance(plan: VideoPlan) -> NDArray[np.float64]:
    """The covariance of the noise that the filter really makes, cut-off taps and all."""
    count, options = plan.num_latent_frames, plan.options.noise
    if options.shared_dc == 0.0:
        return np.eye(count)
    taps = high_pass_taps(options).astype(np.float64)
    by_lag = np.correlate(taps, taps, mode="full")[len(taps) - 1 :]
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    own = np.where(lag < len(by_lag), by_lag[np.minimum(lag, len(by_lag) - 1)], 0.0)
    return own + options.shared_dc / options.shared_dc_latent_frames


def _joins(plan: VideoPlan) -> tuple[int, ...]:
    joints = plan.boundary.joints()
    if len(joints) > 1:
        return tuple(
            joint.first_latent_frame + i
            for joint in joints[1:]
            for i in range(len(joint.fade) - plan_overlap(plan) - 1, len(joint.fade))
        )
    owned = Span(0, plan.boundary.num_slots)
    windows = plan.boundary.windows(plan.num_steps - 1, owned)
    return tuple(window.core.start - 1 for window in windows[1:])


def plan_overlap(plan: VideoPlan) -> int:
    """Latent frames over which a join of separate copies is faded."""
    fades = [joint.fade for joint in plan.boundary.joints()[1:]]
    return max(sum(share > 0.0 for share in fade) for fade in fades)


def _mean_correlation(video: NDArray[np.float64], lag: int) -> float:
    scale = np.sqrt(np.diag(video))
    return float(np.mean(np.diag(video / np.outer(scale, scale), lag)))
