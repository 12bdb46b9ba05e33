"""From options to geometry: the chosen boundary mode, laid out over one video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.separate_copies import SeparateCopies
from pipeline.shared_latents import SharedLatents

if TYPE_CHECKING:
    from pipeline.boundary import Boundary, BoundaryOptions


def lay_out(
    options: BoundaryOptions,
    *,
    num_latent_frames: int,
    window_latent_frames: int,
    temporal_compression: int,
    num_steps: int,
) -> Boundary:
    """Lay the chosen mode out over a video.

    Raises:
        ConfigError: the window is too short for the halo or the overlap that is asked for.
    """
    if options.mode in {"halo", "consensus"}:
        return SharedLatents(
            num_latent_frames=num_latent_frames,
            window_latent_frames=window_latent_frames,
            halo_latent_frames=options.halo_latent_frames,
            shift=options.shift,
            blend=options.mode == "consensus",
        )
    coupled = options.mode == "decay"
    overlap = max(1, options.overlap_frames // temporal_compression) if coupled else 1
    return SeparateCopies(
        num_latent_frames=num_latent_frames,
        window_latent_frames=window_latent_frames,
        overlap_latent_frames=overlap,
        num_steps=num_steps,
        coupled=coupled,
    )
