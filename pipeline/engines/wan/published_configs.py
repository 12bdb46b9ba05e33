"""diffusers' and transformers' configurations of networks that were published without them.

Sizes are read from the tensors' shapes; what leaves no trace there is a constant of Wan.

Sources: Wan-Video/Wan2.1 ``wan/configs/*.py`` and ``wan/modules/{vae,t5,clip}.py``;
Wan-Video/Wan2.2 ``wan/configs/*.py`` and ``wan/modules/vae2_2.py``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.tensor_files import stored_tensors
from pipeline.engines.wan.wrappers import unwrapped
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.engines.wan.json_file import JsonFile

HEAD_DIM = 128
CLIP_HEAD_DIM = 80
# The tokens of CLIP's picture are as wide as its vision model (open-clip xlm-roberta-large-vit-h).
IMAGE_EMBEDDING = "img_emb.proj.0.weight"
# wan/modules/vae2_2.py, Wan2_2_VAE. Those of 2.1 are the defaults of diffusers' constructor.
MEAN_22 = [
    *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542),
    *(0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109),
    *(0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899),
    *(-0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
    *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
]
STD_22 = [
    *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344),
    *(0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804),
    *(0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999),
    *(0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
    *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
]

Shapes = dict[str, tuple[int, ...]]


def transformer_config(published: JsonFile, files: Sequence[Path]) -> dict[str, Any]:
    """Of the ``WanTransformer3DModel`` whose published ``config.json`` and weights these are.

    Raises:
        WeightsError: a key or a tensor is missing or makes no sense.
    """
    shapes = _shapes(files)
    dim, heads = published.integer("dim"), published.integer("num_heads")
    if dim % heads:
        raise published.wrong("num_heads", f"a divisor of dim = {dim}")
    config = {
        "_class_name": "WanTransformer3DModel",
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": published.integer("in_dim"),
        "out_channels": published.integer("out_dim"),
        "text_dim": _shape(shapes, "text_embedding.0.weight", files)[1],
        "freq_dim": published.integer("freq_dim"),
        "ffn_dim": published.integer("ffn_dim"),
        "num_layers": published.integer("num_layers"),
        "eps": published.number("eps", 1e-6),
        "patch_size": [1, 2, 2],
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
    }
    if IMAGE_EMBEDDING in shapes:
        config |= {"image_dim": shapes[IMAGE_EMBEDDING][0], "added_kv_proj_dim": dim}
    return config


def vae_config(path: Path) -> dict[str, Any]:
    """Of the ``AutoencoderKLWan`` in ``Wan2.1_VAE.pth`` or ``Wan2.2_VAE.pth``.

    Raises:
        WeightsError: it is neither.
    """
    shapes = _shapes([path])
    base_dim = _shape(shapes, "encoder.conv1.weight", [path])[0]
    z_dim = _shape(shapes, "conv2.weight", [path])[0]
    config: dict[str, Any] = {
        "_class_name": "AutoencoderKLWan",
        "base_dim": base_dim,
        "z_dim": z_dim,
    }
    if z_dim == len(MEAN_22):
        config |= {
            # The decoder begins with four times its own width.
            "decoder_base_dim": _shape(shapes, "decoder.conv1.weight", [path])[0] // 4,
            "is_residual": True,
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
            "scale_factor_spatial": 16,
            "latents_mean": MEAN_22,
            "latents_std": STD_22,
        }
    elif z_dim != 16:
        raise WeightsError(f"{path}: got {z_dim} latent channels, expected 16 (2.1) or 48 (2.2)")
    return config


def text_encoder_config(path: Path) -> dict[str, Any]:
    """Of the ``UMT5EncoderModel`` in ``models_t5_umt5-xxl-enc-bf16.pth``.

    Raises:
        WeightsError: it is none.
    """
    shapes = _shapes([path])
    vocab_size, d_model = _shape(shapes, "token_embedding.weight", [path])
    buckets, heads = _shape(shapes, "blocks.0.pos_embedding.embedding.weight", [path])
    inner = _shape(shapes, "blocks.0.attn.q.weight", [path])[0]
    return {
        "model_type": "umt5",
        "architectures": ["UMT5EncoderModel"],
        "vocab_size": vocab_size,
        "d_model": d_model,
        "d_kv": inner // heads,
        "d_ff": _shape(shapes, "blocks.0.ffn.fc1.weight", [path])[0],
        "num_heads": heads,
        "num_layers": sum(name.endswith(".attn.q.weight") for name in shapes),
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
    }


def image_encoder_config(path: Path) -> dict[str, Any]:
    """Of the ``CLIPVisionModel`` in ``models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth``.

    Raises:
        WeightsError: it is none.
    """
    shapes = _shapes([path])
    width, _, patch_px, _ = _shape(shapes, "visual.patch_embedding.weight", [path])
    positions = _shape(shapes, "visual.pos_embedding", [path])[1]
    return {
        "model_type": "clip_vision_model",
        "architectures": ["CLIPVisionModel"],
        "hidden_size": width,
        "intermediate_size": _shape(shapes, "visual.transformer.0.mlp.0.weight", [path])[0],
        "num_hidden_layers": sum(name.endswith(".attn.to_qkv.weight") for name in shapes),
        "num_attention_heads": width // CLIP_HEAD_DIM,
        # One position is the class's.
        "image_size": patch_px * math.isqrt(positions - 1),
        "patch_size": patch_px,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def image_processor_config(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """Of the ``CLIPImageProcessor`` beside it, as the diffusers repositories have it.

    The shorter side is resized and the middle is cut out; the original code squeezes the whole
    picture into the square instead.
    """
    side_px = encoder["image_size"]
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side_px},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side_px, "width": side_px},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "do_convert_rgb": True,
    }


def _shapes(files: Sequence[Path]) -> Shapes:
    stored = {tensor.name: tensor.shape for path in files for tensor in stored_tensors(path)}
    return {own: stored[name] for own, name in unwrapped(stored).items()}


def _shape(shapes: Shapes, name: str, files: Sequence[Path]) -> tuple[int, ...]:
    shape = shapes.get(name, ())
    if len(shape) < 2:
        raise WeightsError(
            f"{files[0]}: {name}: got shape {list(shape)}, expected a tensor of Wan's own layout"
        )
    return shape
