"""How much memory a longer video may cost: the latent state that the design names, and no more."""

from __future__ import annotations

from pipeline.spans import num_latent_frames_for

FP32_BYTES = 4

# Latents, and the solver's history of them.
COPIES = 2


def state_bytes(sidecar: dict[str, object], duration_s: float) -> int:
    """Latents and history of a video of that length, rendered as the sidecar says, all actors."""
    engine, request = sidecar["engine"], sidecar["request"]
    assert isinstance(engine, dict)
    assert isinstance(request, dict)
    num_frames = round(duration_s * engine["fps"])
    num_latent_frames = num_latent_frames_for(num_frames, engine["temporal_compression"])
    factor = engine["spatial_compression"]
    pixels = (request["height"] // factor) * (request["width"] // factor)
    return num_latent_frames * int(engine["channels"] * pixels * FP32_BYTES * COPIES)
