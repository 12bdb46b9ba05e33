"""What a video's covariance says about seams, and what the video cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.seams.closed_form import plan_of, video_covariance
from benchmarks.seams.joins import joins
from pipeline.engines.gaussian import correlation
from pipeline.spans import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.seams.closed_form import Setting
    from pipeline.plan import VideoPlan

# Cost 1 is this many steps with as few windows as hold the video.
USUAL_NUM_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """One setting, measured.

    Attributes:
        energy: frame-difference energy ``E |x[t + 1] - x[t]|^2`` at every position ``t`` over its
            median; 1 everywhere is a video without a seam.
        variance: of every latent frame; less than the process's own 1 is blur.
        joins: the latent frames in which windows meet.
        correlation: mean correlation of two latent frames, by their distance.
        cost: forwards of the model, where 20 steps of the fewest windows that hold the video are 1.
    """

    energy: NDArray[np.float64]
    variance: NDArray[np.float64]
    joins: tuple[Span, ...]
    correlation: NDArray[np.float64]
    cost: float

    @property
    def variance_in_joins(self) -> NDArray[np.float64]:
        """The variance of the latent frames in joins alone."""
        frames = sorted({frame for join in self.joins for frame in join})
        return self.variance[frames]


def measure(setting: Setting) -> Seams:
    """Sample with a setting and read its seams off the exact covariance."""
    plan, video_TT = plan_of(setting), video_covariance(setting)
    variance = np.diag(video_TT)
    energy = variance[1:] + variance[:-1] - 2.0 * np.diag(video_TT, 1)
    return Seams(
        energy=energy / np.median(energy),
        variance=variance,
        joins=joins(plan.boundary, plan.num_steps),
        correlation=_correlation_by_lag(video_TT),
        cost=_cost(plan),
    )


def target_correlation(lag: int) -> float:
    """The process's own correlation of two latent frames ``lag`` apart."""
    return float(correlation(np.array([lag]))[0])


def _correlation_by_lag(video_TT: NDArray[np.float64]) -> NDArray[np.float64]:
    scale_T = np.sqrt(np.diag(video_TT))
    normed_TT = video_TT / np.outer(scale_T, scale_T)
    return np.array([np.diag(normed_TT, lag).mean() for lag in range(len(video_TT))])


def _cost(plan: VideoPlan) -> float:
    everything = Span(0, plan.boundary.num_slots)
    steps = range(plan.num_steps)
    forwards = sum(len(plan.boundary.windows(step, everything)) for step in steps)
    fewest = -(-plan.num_latent_frames // plan.engine.window_latent_frames)
    return forwards / (fewest * USUAL_NUM_STEPS)
