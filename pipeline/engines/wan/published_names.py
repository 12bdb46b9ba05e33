"""The names in Wan's own files, and those of the same tensors in diffusers and transformers.

Sources: Wan-Video/Wan2.1 ``wan/modules/{model,vae,t5}.py``, Wan-Video/Wan2.2
``wan/modules/vae2_2.py``; the canonical side is what ``WanTransformer3DModel`` and
``AutoencoderKLWan`` (huggingface/diffusers 0.42) and ``UMT5EncoderModel`` (transformers) call them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engines.wan.name_table import NameTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.engines.wan.json_file import JsonFile

_ATTENTION = (
    ("q", "to_q"),
    ("k", "to_k"),
    ("v", "to_v"),
    ("o", "to_out.0"),
    ("norm_q", "norm_q"),
    ("norm_k", "norm_k"),
)
# Image-to-video: keys and values of the image's own tokens.
_IMAGE_ATTENTION = (
    ("k_img", "add_k_proj"),
    ("v_img", "add_v_proj"),
    ("norm_k_img", "norm_added_k"),
)

# Published ``norm3`` is diffusers' ``norm2``: the norm before the text, the only one with weights.
TRANSFORMER = NameTable(
    (
        ("patch_embedding", "patch_embedding"),
        ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
        ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
        ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
        ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
        ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
        ("blocks.*.modulation", "blocks.*.scale_shift_table"),
        ("blocks.*.norm3", "blocks.*.norm2"),
        ("blocks.*.ffn.0", "blocks.*.ffn.net.0.proj"),
        ("blocks.*.ffn.2", "blocks.*.ffn.net.2"),
        *((f"blocks.*.self_attn.{old}", f"blocks.*.attn1.{new}") for old, new in _ATTENTION),
        *(
            (f"blocks.*.cross_attn.{old}", f"blocks.*.attn2.{new}")
            for old, new in (*_ATTENTION, *_IMAGE_ATTENTION)
        ),
        ("head.modulation", "scale_shift_table"),
        ("head.head", "proj_out"),
    )
)

_T5_BLOCK, _UMT5_BLOCK = "blocks.*", "encoder.block.*.layer"
TEXT_ENCODER = NameTable(
    (
        ("token_embedding", "shared"),
        (f"{_T5_BLOCK}.norm1", f"{_UMT5_BLOCK}.0.layer_norm"),
        *(
            (f"{_T5_BLOCK}.attn.{name}", f"{_UMT5_BLOCK}.0.SelfAttention.{name}")
            for name in ("q", "k", "v", "o")
        ),
        (
            f"{_T5_BLOCK}.pos_embedding.embedding",
            f"{_UMT5_BLOCK}.0.SelfAttention.relative_attention_bias",
        ),
        (f"{_T5_BLOCK}.norm2", f"{_UMT5_BLOCK}.1.layer_norm"),
        (f"{_T5_BLOCK}.ffn.gate.0", f"{_UMT5_BLOCK}.1.DenseReluDense.wi_0"),
        (f"{_T5_BLOCK}.ffn.fc1", f"{_UMT5_BLOCK}.1.DenseReluDense.wi_1"),
        (f"{_T5_BLOCK}.ffn.fc2", f"{_UMT5_BLOCK}.1.DenseReluDense.wo"),
        ("norm", "encoder.final_layer_norm"),
    )
)

_RESIDUAL = (
    ("residual.0", "norm1"),
    ("residual.2", "conv1"),
    ("residual.3", "norm2"),
    ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
)
_RESAMPLE = (("resample", "resample"), ("time_conv", "time_conv"))


def vae_names(config: JsonFile) -> NameTable:
    """The names in ``Wan2.1_VAE.pth`` and ``Wan2.2_VAE.pth``.

    The published files count the parts of encoder and decoder through, or, with residual blocks
    (2.2), within each level; so the table depends on how many there are.

    Args:
        config: of the ``AutoencoderKLWan``.
    """
    levels = len(config.sequence("dim_mult", [1, 2, 4, 4]))
    parts = config.integer("num_res_blocks", 2)
    is_residual = bool(config.values.get("is_residual"))
    rows: list[tuple[str, str]] = [
        ("conv1", "quant_conv"),
        ("conv2", "post_quant_conv"),
        *_ends("encoder"),
        *_ends("decoder"),
    ]
    for level in range(levels):
        rows += _down(level, levels, parts, is_residual=is_residual)
        rows += _up(level, levels, parts + 1, is_residual=is_residual)
    return NameTable(tuple(rows))


def _ends(half: str) -> Iterator[tuple[str, str]]:
    yield f"{half}.conv1", f"{half}.conv_in"
    yield f"{half}.head.0", f"{half}.norm_out"
    yield f"{half}.head.2", f"{half}.conv_out"
    for published, resnet in ((0, 0), (2, 1)):
        for old, new in _RESIDUAL:
            yield f"{half}.middle.{published}.{old}", f"{half}.mid_block.resnets.{resnet}.{new}"
    for name in ("norm", "to_qkv", "proj"):
        yield f"{half}.middle.1.{name}", f"{half}.mid_block.attentions.0.{name}"


def _down(level: int, levels: int, parts: int, *, is_residual: bool) -> Iterator[tuple[str, str]]:
    """One level of the encoder: residual parts and, but for the last level, a smaller picture."""
    for part in range(parts + (level < levels - 1)):
        flat = level * (parts + 1) + part
        if not is_residual:
            old_part, new_part = f"encoder.downsamples.{flat}", f"encoder.down_blocks.{flat}"
        else:
            old_part = f"encoder.downsamples.{level}.downsamples.{part}"
            new_part = f"encoder.down_blocks.{level}." + (
                f"resnets.{part}" if part < parts else "downsampler"
            )
        for old, new in _RESIDUAL if part < parts else _RESAMPLE:
            yield f"{old_part}.{old}", f"{new_part}.{new}"


def _up(level: int, levels: int, parts: int, *, is_residual: bool) -> Iterator[tuple[str, str]]:
    """One level of the decoder: residual parts and, but for the last level, a larger picture."""
    for part in range(parts + (level < levels - 1)):
        flat = level * (parts + 1) + part
        old_part = f"decoder.upsamples.{flat}"
        if is_residual:
            old_part = f"decoder.upsamples.{level}.upsamples.{part}"
        upsampler = "upsampler" if is_residual else "upsamplers.0"
        new_part = f"decoder.up_blocks.{level}." + (
            f"resnets.{part}" if part < parts else upsampler
        )
        for old, new in _RESIDUAL if part < parts else _RESAMPLE:
            yield f"{old_part}.{old}", f"{new_part}.{new}"
