"""What people do instead, on the same engine, noise, noise levels and solver, in one process.

``one_pass`` is full attention: the whole video is one window, as a model is used that has no
windows. ``context_windows`` is the community's usual way to a longer video (ComfyUI's and
AnimateDiff-Evolved's context windows, Wan's defaults in kijai/ComfyUI-WanVideoWrapper
``context_windows``): at every step fixed windows of the model's own length run over the video one
after another, four latent frames over one another; what they predict is blended by linear ramps,
divided by the sum of the weights, and the whole latent takes one step. FreeNoise's shuffled noise,
which often goes with it, is left away: it makes a video repeat itself, and costs no time.

Shape suffixes: T latent frames, C channels, H height, W width, S text tokens, D text width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.noise import initial_noise
from pipeline.solvers import advance
from pipeline.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from pipeline.engines.protocol import Engine, NoiseLevel
    from pipeline.plan import VideoPlan

# Latent frames that neighbouring context windows share: 16 frames.
OVERLAP_LATENT_FRAMES = 4

# The rotary table of the published and the embedded transformers.
LONGEST_LATENT_FRAMES = 1024


def one_pass(plan: VideoPlan, engine: Engine) -> tuple[Tensor, int]:
    """Finished latents ``[T, C, H, W]`` of the whole video in one window, and forwards made.

    Raises:
        ValueError: the model has no position for its last latent frame.
    """
    if plan.num_latent_frames > LONGEST_LATENT_FRAMES:
        raise ValueError(
            f"{plan.num_latent_frames} latent frames, the model's table of positions ends at "
            f"{LONGEST_LATENT_FRAMES}"
        )
    return _sample(plan, engine, [Span(0, plan.num_latent_frames)])


def context_windows(plan: VideoPlan, engine: Engine) -> tuple[Tensor, int]:
    """Finished latents ``[T, C, H, W]`` by context windows one after another, and forwards made."""
    return _sample(
        plan, engine, windows_of(plan.num_latent_frames, engine.spec.window_latent_frames)
    )


def windows_of(num_latent_frames: int, window_latent_frames: int) -> list[Span]:
    """Fixed windows, the last one moved back into the video."""
    stride = window_latent_frames - OVERLAP_LATENT_FRAMES
    last = max(0, num_latent_frames - window_latent_frames)
    starts = [*range(0, last, stride), last]
    return [Span(start, min(start + window_latent_frames, num_latent_frames)) for start in starts]


def _sample(plan: VideoPlan, engine: Engine, windows: Sequence[Span]) -> tuple[Tensor, int]:
    assert not plan.is_guided, "these peers are compared without guidance"
    assert len(plan.prompts) == 1, "these peers know one prompt"
    (embeds_SD,) = engine.encode_prompts(plan.prompts)
    seed, frames = plan.request.seed, range(plan.num_latent_frames)
    noise = initial_noise(seed, frames, plan.latent_shape, plan.options.noise)
    latents_TCHW = torch.stack(list(noise))
    history_TDHW: Tensor | None = None

    def predict(window_TCHW: Tensor, level: NoiseLevel) -> Tensor:
        return engine.predict(window_TCHW, level, embeds_SD)

    for step in range(plan.num_steps):
        velocity_TCHW = _blended(latents_TCHW, plan.levels[step], windows, predict)
        latents_TCHW, history_TDHW = advance(
            latents_TCHW,
            velocity_TCHW,
            history_TDHW,
            plan.levels,
            step,
            solver=plan.options.sampler.solver,
        )
    return latents_TCHW, plan.num_steps * len(windows)


def _blended(
    latents_TCHW: Tensor,
    level: NoiseLevel,
    windows: Sequence[Span],
    predict: Callable[[Tensor, NoiseLevel], Tensor],
) -> Tensor:
    if len(windows) == 1:
        return predict(latents_TCHW, level)
    total_TCHW, weight_T = torch.zeros_like(latents_TCHW), torch.zeros(len(latents_TCHW))
    for index, window in enumerate(windows):
        share_T = _ramps(len(window), index > 0, index + 1 < len(windows))
        part_TCHW = predict(latents_TCHW[window.start : window.stop], level)
        total_TCHW[window.start : window.stop] += part_TCHW * share_T[:, None, None, None]
        weight_T[window.start : window.stop] += share_T
    return total_TCHW / weight_T[:, None, None, None]


def _ramps(length: int, fades_in: bool, fades_out: bool) -> Tensor:
    """Linear over the overlap, without the zero at its end, so that no frame weighs nothing."""
    ramp_T = torch.linspace(0.0, 1.0, OVERLAP_LATENT_FRAMES + 2)[1:-1]
    share_T = torch.ones(length)
    if fades_in:
        share_T[: len(ramp_T)] = ramp_T
    if fades_out:
        share_T[-len(ramp_T) :] *= ramp_T.flip(0)
    return share_T
