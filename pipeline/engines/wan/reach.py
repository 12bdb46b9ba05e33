"""How far back Wan's decoder hears, from its configuration alone.

Every causal convolution over three frames sees the two before. Between them two layers double the
frame rate: of the latents before the first of them a frame is far apart, of the pixels after the
last of them it is near. Going back through ``WanDecoder3d`` (huggingface/diffusers 0.42,
``autoencoder_kl_wan.py``) from the first pixel frame of a latent frame gives the first latent frame
that any of its pixels depends on. Attention, norms and shortcuts look at one frame at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Frames before its own that a convolution over three sees.
_CONV = 2
_RESIDUAL_BLOCK = 2 * _CONV
_MIDDLE = 2 * _RESIDUAL_BLOCK


def reach_latent_frames(num_res_blocks: int, doubles_time: Sequence[bool]) -> int:
    """Latent frames before a latent frame that its pixels depend on.

    Args:
        num_res_blocks: the autoencoder's; its decoder has one more in every block.
        doubles_time: for each block of the decoder but the last, whether it doubles the rate:
            ``temperal_downsample`` from its end.
    """
    ratio = int(2 ** sum(map(bool, doubles_time)))
    # Latent frame 0 is one frame, at any rate frame 0; those before it have negative numbers.
    earliest = -(ratio - 1) - _CONV
    for doubles in (False, *reversed(doubles_time)):
        if doubles:
            # Latent frame t gives frames 2t - 1 and 2t; the layer that makes two of one is causal.
            earliest = -(-earliest // 2) - _CONV
        earliest -= (num_res_blocks + 1) * _RESIDUAL_BLOCK
    return -(earliest - _MIDDLE - _CONV)
