"""What a checkpoint's networks will take of a device, found out without loading them.

Every network is built from its configuration without storage, as the engine builds and keeps it,
and goes through one forward of the size in question on tensors without storage, while a meter
counts what would be there. So nothing here repeats what diffusers and transformers do: what they
change, this follows.

Blocks are alike and follow one another, so that three of them stand for all.

Shape suffixes: B = 1, T latent frames, C channels, H height, W width, F frames, S tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch.overrides import TorchFunctionMode
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from pipeline.engines.wan.causal import CausalDecoder
from pipeline.engines.wan.decoder import LATENT_FRAMES_PER_TURN
from pipeline.engines.wan.memory_estimate import Footprint
from pipeline.engines.wan.modules import fill, kept_fp32, kept_fp32_of_text
from pipeline.engines.wan.networks import settle, store_as_fp8
from pipeline.engines.wan.storage_meter import StorageMeter
from pipeline.tiling import Tiling, tiles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from pipeline.engines.wan.blueprint import Blueprint
    from pipeline.engines.wan.memory_profile import MemoryProfile

META = torch.device("meta")
NUM_BLOCKS = 3
# A decoder that has its cache takes as much for one latent frame as for the next.
NUM_LATENT_FRAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A checkpoint's networks as one profile keeps them.

    Attributes:
        dtype: of transformers and text encoder.
        device_type: ``cuda`` or ``cpu``.
    """

    blueprint: Blueprint
    profile: MemoryProfile
    dtype: torch.dtype
    device_type: str

    @torch.no_grad()
    def transformer(self, height: int, width: int) -> Footprint:
        """One expert, and one window of latents of that size."""
        network, num_more = _short(self.blueprint.transformer, "num_layers", _transformer)
        fill(network, network.state_dict().items(), META, self.dtype, kept_fp32(network))
        block_bytes = _bytes(network.blocks[0])
        full_bytes = _bytes(network) + num_more * block_bytes
        if self.profile.fp8_storage:
            store_as_fp8(network, self.dtype)
        inputs = self._window_inputs(network.config, height, width)
        footprint = self._footprint(
            network, network.blocks, num_more, lambda: network(**inputs, return_dict=False)
        )
        if not (self.profile.streams_blocks or self.profile.fp8_storage):
            return footprint
        # It comes by way of the machine's memory, a block of which is there twice for a moment.
        return replace(footprint, load_bytes=full_bytes + block_bytes)

    def _window_inputs(self, config: Any, height: int, width: int) -> dict[str, Tensor | None]:
        frames, clip = self.blueprint.window_latent_frames, self.blueprint.image_encoder
        image_BSD = None
        if clip is not None:
            num_patches = (_clip_config(clip).image_size // _clip_config(clip).patch_size) ** 2
            image_BSD = self._empty(1, 1 + num_patches, config.image_dim)
        num_tokens = frames * (height // config.patch_size[1]) * (width // config.patch_size[2])
        timestep_shape = (1, num_tokens) if self.blueprint.expand_timesteps else (1,)
        return {
            "hidden_states": self._empty(1, config.in_channels, frames, height, width),
            "timestep": torch.empty(timestep_shape, device=META),
            "encoder_hidden_states": self._empty(
                1, self.blueprint.num_text_tokens, config.text_dim
            ),
            "encoder_hidden_states_image": image_BSD,
        }

    @torch.no_grad()
    def text_encoder(self) -> Footprint:
        """The text encoder, and one prompt."""
        network, num_more = _short(self.blueprint.text_encoder, "num_layers", _text_encoder)
        kept = kept_fp32_of_text(network, self.dtype)
        fill(network, network.state_dict().items(), META, self.dtype, kept)
        # One tensor under two names.
        network.encoder.embed_tokens.weight = network.shared.weight
        tokens_BS = torch.empty(1, self.blueprint.num_text_tokens, dtype=torch.int64, device=META)
        return self._footprint(
            network, network.encoder.block, num_more, lambda: network(tokens_BS, tokens_BS)
        )

    @torch.no_grad()
    def image_encoder(self) -> Footprint | None:
        """CLIP's vision model, and one image; fp32 whatever the others are."""
        if self.blueprint.image_encoder is None:
            return None
        network, num_more = _short(self.blueprint.image_encoder, "num_hidden_layers", _clip)
        size_px = network.config.image_size
        image_BCHW = torch.empty(1, 3, size_px, size_px, device=META)
        at_rest = _bytes(network) + num_more * _bytes(network.encoder.layers[0])
        work = _work_bytes(lambda: network(image_BCHW, output_hidden_states=True))
        return Footprint(at_rest, work)

    @torch.no_grad()
    def decoder(self, height: int, width: int) -> Footprint:
        """The autoencoder, and a video of that size that is decoded; fp32."""
        vae = _autoencoder(self.blueprint.vae)
        if not self.profile.tiled_decode:
            return Footprint(_bytes(vae), _work_bytes(lambda: _decode(vae, height, width)))
        scale = vae.config.scale_factor_spatial
        tiles = tiles_of(height, width, scale, Tiling())
        size = len(tiles[0].rows), len(tiles[0].columns)
        # The pictures that tiles are laid over one another in, and caches at rest.
        num_frames = LATENT_FRAMES_PER_TURN * vae.config.scale_factor_temporal
        pictures = num_frames * 3 * height * width * scale**2 * torch.float32.itemsize
        work = _work_bytes(lambda: _decode(vae, *size)) + int(pictures)
        return Footprint(_bytes(vae), work, len(tiles) * _cache_bytes(_decode(vae, *size)))

    @torch.no_grad()
    def encoder_bytes(self, height: int, width: int) -> int:
        """What the autoencoder takes besides while it encodes an image for windows of that size."""
        num_latent_frames = self.blueprint.encoded_latent_frames
        if not num_latent_frames:
            return 0
        vae = _autoencoder(self.blueprint.vae)
        scale, per_latent = vae.config.scale_factor_spatial, vae.config.scale_factor_temporal
        shown = min(num_latent_frames, NUM_LATENT_FRAMES)
        shape_BCFHW = (1, 3, 1 + per_latent * (shown - 1), height * scale, width * scale)
        work = _work_bytes(lambda: vae.encode(torch.empty(shape_BCFHW, device=META)))
        # The rest of the grey video.
        num_frames = per_latent * (num_latent_frames - shown)
        num_pixels = int(shape_BCFHW[3] * shape_BCFHW[4])
        return work + int(num_frames * 3 * num_pixels * torch.float32.itemsize)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=META)

    def _footprint(
        self,
        network: torch.nn.Module,
        blocks: Sequence[torch.nn.Module],
        num_more: int,
        forward: Callable[[], object],
    ) -> Footprint:
        """Of a network that has ``num_more`` blocks than are there."""
        block_bytes = _bytes(blocks[0])
        if not self.profile.streams_blocks:
            at_rest = _bytes(network) + num_more * block_bytes
            return Footprint(at_rest, _work_bytes(forward))
        at_rest = _bytes(network) - len(blocks) * block_bytes
        home_bytes = settle(network, blocks, META).homes[0].nbytes
        if self.device_type == "cuda":
            # torch rounds pinned memory up to a power of two.
            home_bytes = 1 << (home_bytes - 1).bit_length()
        host_bytes = (len(blocks) + num_more) * home_bytes
        return Footprint(at_rest, _work_bytes(forward), host_bytes)


class _Unseen(TorchFunctionMode):
    """What tensors without storage can't do, or do otherwise than those of a device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Attention never holds its scores; no value is asked for, and it is taken for false."""
        del types
        if func is torch.nn.functional.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else kwargs["query"])
        if func is torch.Tensor.__bool__:
            return False
        return func(*args, **(kwargs or {}))


def _work_bytes(forward: Callable[[], object]) -> int:
    """The most that a forward takes beside what is there before."""
    meter = StorageMeter(META.type)
    with _Unseen(), meter:
        forward()
    return meter.peak_bytes


def _short(
    config: Mapping[str, Any], key: str, build: Callable[[dict[str, Any]], Any]
) -> tuple[Any, int]:
    """A network with few blocks, and how many more it should have."""
    num_blocks = int(config[key])
    few = min(num_blocks, NUM_BLOCKS)
    with META:
        network = build({**config, key: few})
    return network.eval(), num_blocks - few


def _transformer(config: dict[str, Any]) -> Any:
    return WanTransformer3DModel.from_config(config)


def _text_encoder(config: dict[str, Any]) -> Any:
    return UMT5EncoderModel(UMT5Config.from_dict(config))


def _clip_config(config: Mapping[str, Any]) -> Any:
    return CLIPVisionConfig.from_dict(dict(config))


def _clip(config: dict[str, Any]) -> Any:
    return CLIPVisionModel(_clip_config(config))


def _autoencoder(config: Mapping[str, Any]) -> Any:
    with META:
        vae: Any = AutoencoderKLWan.from_config(dict(config))
    return vae.eval()


def _decode(vae: Any, height: int, width: int) -> CausalDecoder:
    decoder = CausalDecoder(vae)
    for _ in range(NUM_LATENT_FRAMES):
        decoder.decode(torch.empty(1, vae.config.z_dim, 1, height, width, device=META))
    return decoder


def _cache_bytes(decoder: CausalDecoder) -> int:
    return sum(entry.nbytes for entry in decoder.cache if isinstance(entry, torch.Tensor))


def _bytes(network: torch.nn.Module) -> int:
    """Of all its tensors; one that has two names counts once."""
    return sum({id(t): t.nbytes for t in (*network.parameters(), *network.buffers())}.values())
