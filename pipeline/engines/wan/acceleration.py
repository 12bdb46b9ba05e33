"""Makes a loaded transformer faster, and finds out first whether this machine can.

Everything here gives other last bits than the plain transformer. What is compiled is told not to
measure which kernel is fastest (inductor's ``deterministic``), so that actors on the same type of
device agree, and is compiled for one shape at a time, so that a video's bits don't depend on the
videos before it.

Shape suffixes: B = 1, S tokens, N heads, D a head's width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    attention_backend,
    dispatch_attention_fn,
)
from diffusers.models.transformers.transformer_wan import WanAttention
from torch.nn.functional import scaled_dot_product_attention

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.speed import SpeedOptions

# One compilation for each size and each length that is shorter than a window, in one process.
MAX_SHAPES: Final = 64
# Eight-bit kernels are within 3 %; a backend that is further off gives noise, not video.
MAX_RELATIVE_ERROR: Final = 0.1
TRIAL_TOKENS: Final = 128
COMPILE: Final[dict[str, Any]] = {"fullgraph": True, "dynamic": False}
COMPILE_OPTIONS: Final = {"deterministic": True}


def accelerate(
    transformer: Any, speed: SpeedOptions, device: torch.device, dtype: torch.dtype
) -> None:
    """Change a loaded ``WanTransformer3DModel`` in place; by default nothing of it changes.

    Args:
        transformer: the network, wherever its weights are.
        speed: what is asked for.
        device: where it computes.
        dtype: in which precision.

    Raises:
        ConfigError: an option can't be had with what is installed here, or on this device.
    """
    _set_attention(transformer, speed.attention_backend, device, dtype)
    if speed.fuse_projections:
        _fuse_projections(transformer)
    if speed.compile:
        _try_to_compile(device)
        transformer.compile_repeated_blocks(
            **COMPILE, options=dict(COMPILE_OPTIONS), recompile_limit=MAX_SHAPES
        )


def _set_attention(transformer: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
    """Say it in any case: else diffusers would take what an environment variable says."""
    try:
        # Checks what is installed.
        with attention_backend(name):
            _try_attention(transformer.config, name, device, dtype)
    except (RuntimeError, ValueError, ImportError, NotImplementedError, AssertionError) as error:
        where = f"{device.type}, {str(dtype).removeprefix('torch.')}"
        raise ConfigError(
            f"engine.speed.attention_backend = {name!r}: not here ({where}): {_first_line(error)}"
        ) from error
    for attention in _attentions(transformer):
        # diffusers' own setter changes what every other model of this process does, too.
        attention.processor._attention_backend = AttentionBackendName(name)  # noqa: SLF001


def _try_attention(config: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
    """Compute a little with it, as the model will, and compare."""
    heads, width = config.num_attention_heads, config.attention_head_dim
    generator = torch.Generator().manual_seed(0)
    shape = (3, 1, TRIAL_TOKENS, heads, width)
    query_BSND, key_BSND, value_BSND = torch.randn(shape, generator=generator).to(device, dtype)
    with torch.no_grad():
        got_BSND = dispatch_attention_fn(
            query_BSND, key_BSND, value_BSND, backend=AttentionBackendName(name)
        ).float()
        expected_BSND = _exact_attention(query_BSND, key_BSND, value_BSND)
    error = float((got_BSND - expected_BSND).norm() / expected_BSND.norm())
    if not error <= MAX_RELATIVE_ERROR:
        raise ValueError(f"its results are off by {100 * error:.0f} %")


def _exact_attention(query_BSND: Tensor, key_BSND: Tensor, value_BSND: Tensor) -> Tensor:
    inputs = (each_BSND.float().transpose(1, 2) for each_BSND in (query_BSND, key_BSND, value_BSND))
    query, key, value = inputs
    return scaled_dot_product_attention(query, key, value).transpose(1, 2)


def _fuse_projections(transformer: Any) -> None:
    """One product where there were three (two where keys and values come from text or image).

    diffusers keeps the parts beside the whole; here they go, so that memory stays what it was.
    """
    for attention in _attentions(transformer):
        attention.fuse_projections()
        parts = ["to_k", "to_v"] if attention.is_cross_attention else ["to_q", "to_k", "to_v"]
        if attention.add_k_proj is not None:
            parts += ["add_k_proj", "add_v_proj"]
        for part in parts:
            # diffusers asks whether there is an add_k_proj to know whether there is an image.
            setattr(attention, part, torch.nn.Identity())
    transformer.requires_grad_(requires_grad=False)


def _try_to_compile(device: torch.device) -> None:
    """Compile next to nothing: whether there is a compiler is known before the first window."""
    ones = torch.ones(8, device=device)
    try:
        torch.compile(_doubled, **COMPILE, options=dict(COMPILE_OPTIONS))(ones)
    except (RuntimeError, ImportError, OSError) as error:
        raise ConfigError(f"engine.speed.compile = True: not here: {_first_line(error)}") from error


def _doubled(tensor: Tensor) -> Tensor:
    return tensor + tensor


def _attentions(transformer: Any) -> list[Any]:
    return [module for module in transformer.modules() if isinstance(module, WanAttention)]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
