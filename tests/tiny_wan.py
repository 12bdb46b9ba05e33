"""A tiny random Wan checkpoint in diffusers' folder layout, made on the spot for tests.

Stock ``diffusers.WanPipeline.from_pretrained`` loads the folder too (diffusers wants ``accelerate``
for that). A forward of one window takes milliseconds. The weights are random but lively: results
depend on prompt, noise level and place, and decoded frames fill the range of pixels and change in
time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.pipelines.wan.pipeline_wan_i2v import WanImageToVideoPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

if TYPE_CHECKING:
    from pathlib import Path

WIDTH_PX = 48
HEIGHT_PX = 32
TEXT_WIDTH = 24
IMAGE_WIDTH = 16
# 2.1: 16 latent channels, 8 pixels per latent pixel. 2.2-5b: residual autoencoder with patches, 16
# pixels per latent pixel, one timestep per token. 2.2-a14b: two experts. 2.1-i2v: an image by
# channels and by CLIP. 2.2-i2v: two experts, an image by channels.
LAYOUTS = ("2.1", "2.2-5b", "2.2-a14b", "2.1-i2v", "2.2-i2v")
# Of four steps at shift 5 the first two are above it.
BOUNDARY_RATIO = 0.875
CORPUS = (
    "a red ball rolls over a green hill at night",
    "rain falls on the city, neon lights, slow camera",
    "blurry, worst quality, still picture",
)
# Chosen so that pixels spread over about two standard deviations of the range -1..1.
PIXEL_STD = 0.4


def make_tiny_wan(
    folder: Path, *, window_latent_frames: int = 9, seed: int = 0, layout: str = "2.1"
) -> Path:
    """Write a tiny checkpoint into ``folder`` and return it.

    Args:
        folder: where to; made if need be.
        window_latent_frames: the model's own length.
        seed: of the random weights.
        layout: one of ``LAYOUTS``.
    """
    pipeline = tiny_pipeline(layout, seed)
    pipeline.save_pretrained(folder)
    spatial = pipeline.vae.config.scale_factor_spatial
    settings = {
        "window_latent_frames": window_latent_frames,
        "fps": 16,
        "width": WIDTH_PX * spatial // 8,
        "height": HEIGHT_PX * spatial // 8,
        "num_inference_steps": 4,
        "max_sequence_length": text_tokens(layout),
    }
    (folder / "nightreel.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def text_tokens(layout: str) -> int:
    """Tokens that prompts are padded to; with CLIP's before them diffusers insists on 512."""
    return 512 if layout == "2.1-i2v" else 32


def tiny_pipeline(layout: str, seed: int = 0) -> Any:
    """The stock pipeline, with the weights that ``make_tiny_wan`` writes for this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _make_pipeline(layout)


def _make_pipeline(layout: str) -> WanPipeline | WanImageToVideoPipeline:
    latent_channels = 6 if layout == "2.2-5b" else 16
    tokenizer = _make_tokenizer()
    parts: dict[str, Any] = {
        "tokenizer": tokenizer,
        "text_encoder": _make_text_encoder(len(tokenizer)),
        "vae": _make_vae(layout, latent_channels),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
        "transformer": _make_transformer(layout, latent_channels),
        "expand_timesteps": layout == "2.2-5b",
    }
    if layout in {"2.2-a14b", "2.2-i2v"}:
        parts["transformer_2"] = _make_transformer(layout, latent_channels)
        parts["boundary_ratio"] = BOUNDARY_RATIO
    if layout == "2.1-i2v":
        parts |= {"image_encoder": _make_clip(), "image_processor": _make_image_processor()}
    if layout in {"2.1-i2v", "2.2-i2v"}:
        return WanImageToVideoPipeline(**parts)
    return WanPipeline(**parts)


def _make_clip() -> CLIPVisionModel:
    config = CLIPVisionConfig(
        hidden_size=IMAGE_WIDTH,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return CLIPVisionModel(config).eval()


def _make_image_processor() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, so that no prompt has an unknown token; ends in ``</s>`` like T5's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    end = ("</s>", tokenizer.token_to_id("</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair=None, special_tokens=[end]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=512
    )


def _make_text_encoder(vocab_size: int) -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=TEXT_WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=3,
        dropout_rate=0.0,
        tie_word_embeddings=True,
    )
    return UMT5EncoderModel(config).eval()


def _make_transformer(layout: str, latent_channels: int) -> WanTransformer3DModel:
    has_channels = layout in {"2.1-i2v", "2.2-i2v"}
    has_clip = layout == "2.1-i2v"
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=2 * latent_channels + 4 if has_channels else latent_channels,
        out_channels=latent_channels,
        image_dim=IMAGE_WIDTH if has_clip else None,
        added_kv_proj_dim=24 if has_clip else None,
        text_dim=TEXT_WIDTH,
        freq_dim=32,
        ffn_dim=48,
        num_layers=2,
    )
    for block in transformer.blocks:
        for attention in (block.attn1, block.attn2):
            attention.norm_q.weight.data.mul_(3)
            attention.to_out[0].weight.data.mul_(4)
        block.scale_shift_table.data.mul_(4)
    transformer.proj_out.weight.data.mul_(2)
    return transformer.eval()


def _make_vae(layout: str, latent_channels: int) -> AutoencoderKLWan:
    patches: dict[str, Any] = {}
    if layout == "2.2-5b":
        patches = {
            "is_residual": True,
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
            "scale_factor_spatial": 16,
        }
    vae = AutoencoderKLWan(
        base_dim=4,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        z_dim=latent_channels,
        latents_mean=torch.linspace(-0.5, 0.5, latent_channels).tolist(),
        latents_std=torch.linspace(0.8, 2.0, latent_channels).tolist(),
        **patches,
    ).eval()
    _spread_pixels(vae)
    return vae


@torch.no_grad()
def _spread_pixels(vae: AutoencoderKLWan) -> None:
    """Rescale the last layer: random decoders give grey pictures."""
    latents = torch.randn(1, vae.config.z_dim, 3, 4, 4)
    raw: list[torch.Tensor] = []
    hook = vae.decoder.conv_out.register_forward_hook(lambda _module, _args, out: raw.append(out))
    vae.decode(latents)
    hook.remove()
    pixels = torch.cat(raw, dim=2)
    mean = pixels.mean(dim=(0, 2, 3, 4))
    std = pixels.std(dim=(0, 2, 3, 4))
    vae.decoder.conv_out.weight.mul_((PIXEL_STD / std).view(-1, 1, 1, 1, 1))
    vae.decoder.conv_out.bias.sub_(mean).mul_(PIXEL_STD / std)
