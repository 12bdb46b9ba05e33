"""The configurations of a checkpoint's networks, from its folder or as published.

What a configuration leaves out is what diffusers' and transformers' constructors say.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.architectures import architecture
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.published_configs import MEAN_22, STD_22
from pipeline.engines.wan.variant import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.engines.wan.checkpoint import Checkpoint

Config = MappingProxyType[str, Any]

# Wan's text encoder, google/umt5-xxl.
_UMT5_XXL: Config = MappingProxyType(
    {
        "vocab_size": 256384,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
        "feed_forward_proj": "gated-gelu",
    }
)
# The image encoder of 2.1, open-clip's xlm-roberta-large-vit-h-14.
_CLIP_H: Config = MappingProxyType(
    {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "gelu",
    }
)
_VAE_21: Config = MappingProxyType({"base_dim": 96, "z_dim": 16})
_VAE_22: Config = MappingProxyType(
    {
        "base_dim": 160,
        "decoder_base_dim": 256,
        "z_dim": 48,
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
        "scale_factor_spatial": 16,
        "latents_mean": MEAN_22,
        "latents_std": STD_22,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything that decides how much memory a checkpoint takes, but the size of its pictures.

    Attributes:
        transformer: of two experts, the first; they are alike.
        image_encoder: ``None`` where there is none.
        num_experts: 1 or 2.
        expand_timesteps: the transformer is told the timestep once per token.
        window_latent_frames: of the longest window.
        encoded_latent_frames: of an image, as a window is told of it; 0: no image.
        num_text_tokens: of a prompt.
    """

    transformer: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    vae: Mapping[str, Any]
    image_encoder: Mapping[str, Any] | None
    num_experts: int
    expand_timesteps: bool
    window_latent_frames: int
    encoded_latent_frames: int
    num_text_tokens: int

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Blueprint:
        """What a checkpoint's files say.

        Raises:
            WeightsError: one is missing or damaged.
        """

        def config(network: str) -> Mapping[str, Any]:
            return JsonFile.read(checkpoint.folder / network / "config.json").values

        spec = checkpoint.spec
        encoded = {"none": 0, "first_frame": 1, "channels": spec.window_latent_frames}
        return cls(
            transformer=config("transformer"),
            text_encoder=config("text_encoder"),
            vae=config("vae"),
            image_encoder=config("image_encoder") if checkpoint.has_image_encoder else None,
            num_experts=2 if checkpoint.has_two_experts else 1,
            expand_timesteps=checkpoint.expand_timesteps,
            window_latent_frames=spec.window_latent_frames,
            encoded_latent_frames=encoded[spec.image],
            num_text_tokens=checkpoint.max_sequence_length,
        )

    @classmethod
    def published(cls, name: str) -> Blueprint:
        """Of a published model, by its name in ``architectures``.

        Raises:
            ConfigError: there is none of that name.
        """
        model = architecture(name)
        is_22_vae = model.latent_channels == len(MEAN_22)
        window = model.window_latent_frames
        return cls(
            transformer=model.transformer,
            text_encoder=_UMT5_XXL,
            vae=_VAE_22 if is_22_vae else _VAE_21,
            image_encoder=_CLIP_H if "image_dim" in model.transformer else None,
            num_experts=1 if model.boundary_ratio is None else 2,
            expand_timesteps=is_22_vae,
            window_latent_frames=window,
            encoded_latent_frames=window if model.takes_image else int(is_22_vae),
            num_text_tokens=int(str(DEFAULTS["max_sequence_length"])),
        )
