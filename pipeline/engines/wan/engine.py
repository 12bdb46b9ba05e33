"""The ``wan`` engine: one window through Wan's transformer, prompts in, frames out.

Shape suffixes: B prompts, T latent frames, C channels, H height, W width, S text or image tokens, D
their width.

The batch is 1 but in ``PairedWanEngine``, since a batch of 2 gives other bits. Whatever enters a
network is copied to storage of its own first, since the place of a tensor in memory can decide
which kernel adds it up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from pipeline.engines.protocol import ImageEmbeds
from pipeline.engines.speed import SpeedOptions
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.decoder import WanStreamDecoder
from pipeline.engines.wan.memory_profile import RESIDENT
from pipeline.engines.wan.networks import Networks
from pipeline.engines.wan.vision import condition_channels, encode_first_frame
from pipeline.tiling import Tiling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.engines.protocol import EngineSpec, NoiseLevel, WindowImage
    from pipeline.engines.wan.memory_profile import MemoryProfile


class WanEngine:
    """A Wan 2.1 or 2.2 checkpoint, loaded. Implements ``Engine``."""

    def __init__(self, checkpoint: Checkpoint, networks: Networks) -> None:
        """Take a checkpoint and its networks; ``load`` makes them."""
        self._checkpoint, self._networks = checkpoint, networks

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: torch.device | str,
        dtype: torch.dtype,
        profile: MemoryProfile = RESIDENT,
        speed: SpeedOptions = SpeedOptions(),  # noqa: B008  # frozen
    ) -> Self:
        """Load a checkpoint folder onto a device.

        Args:
            folder: in diffusers' layout; see ``pipeline.engines.wan.checkpoint``.
            device: where the networks run.
            dtype: precision of transformer and text encoder; see ``pipeline.engines.wan.modules``.
            profile: what of them lives there, and when.
            speed: what makes the transformers faster; batches are ``PairedWanEngine``'s.

        Raises:
            WeightsError: something is missing, damaged or does not fit; of what does not stay on
                the device it may be noticed later.
            ConfigError: ``speed`` asks for what can't be had here.
        """
        checkpoint = Checkpoint.open(folder)
        networks = Networks(checkpoint, torch.device(device), dtype, profile, speed)
        return cls(checkpoint, networks)

    @property
    def spec(self) -> EngineSpec:
        """What is known of the engine without its weights."""
        return self._checkpoint.spec

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """Each prompt by itself to ``[S, D]``; see ``Engine.encode_prompts``."""
        with self._networks.prompt_encoder() as encoder:
            return [encoder.encode(prompt) for prompt in prompts]

    def encode_image(self, pixels_HWC: NDArray[np.uint8]) -> ImageEmbeds:
        """An image as this model's windows are told of it; see ``Engine.encode_image``."""
        conditioning = self.spec.image
        assert conditioning != "none", f"{self._checkpoint.folder} takes no image"
        length = self.spec.window_latent_frames if conditioning == "channels" else 1
        with self._networks.image_tower() as tower:
            embeds_SD = None if tower is None else tower.encode(pixels_HWC)
        return ImageEmbeds(encode_first_frame(self._networks.vae, pixels_HWC, length), embeds_SD)

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        """The velocity ``noise - x0`` of one window, ``[T, C, H, W]``; see ``Engine.predict``."""
        (velocity_TCHW,) = self._velocities(latents_TCHW, level, [prompt_embeds_SD], image)
        return velocity_TCHW

    def stream_decoder(self, tiling: Tiling | None = None) -> WanStreamDecoder:
        """A fresh decoder for one video; any number may be in use at a time.

        Where the memory profile wants tiles and none are asked for, they are diffusers'.
        """
        if self._networks.profile.tiled_decode:
            tiling = tiling or Tiling()
        return WanStreamDecoder(self._networks.vae, tiling)

    @torch.no_grad()
    def _velocities(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompts_SD: Sequence[Tensor],
        image: WindowImage | None,
    ) -> list[Tensor]:
        """One velocity ``[T, C, H, W]`` per prompt of the same window, in one batch."""
        self._check_window(latents_TCHW)
        batch = len(prompts_SD)
        seen_CTHW = self._seen(latents_TCHW, image).transpose(0, 1)
        timestep = self._timestep(level, latents_TCHW.shape, image)
        embeds_SD = None if image is None else image.embeds.embeds_SD
        with self._networks.transformer(is_first=self._is_first(level)) as transformer:
            velocities_BCTHW = transformer(
                hidden_states=self._owned(seen_CTHW.expand(batch, -1, -1, -1, -1)),
                timestep=timestep.expand(batch, *timestep.shape[1:]),
                encoder_hidden_states=self._owned(torch.stack([*prompts_SD])),
                encoder_hidden_states_image=(
                    None if embeds_SD is None else self._owned(embeds_SD.expand(batch, -1, -1))
                ),
                return_dict=False,
            )[0]
        return [
            velocity_CTHW.transpose(0, 1).to("cpu", torch.float32).contiguous()
            for velocity_CTHW in velocities_BCTHW
        ]

    def _owned(self, tensor: Tensor) -> Tensor:
        copy = torch.empty(tensor.shape, dtype=self._networks.dtype, device=self._networks.device)
        return copy.copy_(tensor)

    def _is_first(self, level: NoiseLevel) -> bool:
        """Whether the first of two experts answers at this level, as ``WanPipeline`` chooses it."""
        boundary = self.spec.boundary_timestep
        return boundary is None or level.timestep >= boundary

    def _seen(self, latents_TCHW: Tensor, image: WindowImage | None) -> Tensor:
        """The latents, and beside them what is given, where the model has channels for it."""
        if self.spec.image != "channels":
            return latents_TCHW
        assert image is not None, f"{self._checkpoint.folder} can't do without an image"
        given_TCHW = condition_channels(image, self._checkpoint.mask_channels, latents_TCHW.shape)
        return torch.cat([latents_TCHW, given_TCHW], dim=1)

    def _timestep(
        self, level: NoiseLevel, shape_TCHW: torch.Size, image: WindowImage | None
    ) -> Tensor:
        """fp32 ``[1]``, or one per token ``[1, tokens]`` where the checkpoint expands timesteps.

        There the tokens of an image have timestep 0.
        """
        device = self._networks.device
        if not self._checkpoint.expand_timesteps:
            return torch.full((1,), level.timestep, dtype=torch.float32, device=device)
        frames, rows, columns = self._checkpoint.patch_size
        tokens_per_frame = (shape_TCHW[2] // rows) * (shape_TCHW[3] // columns)
        shape = (1, shape_TCHW[0] // frames * tokens_per_frame)
        timestep = torch.full(shape, level.timestep, dtype=torch.float32, device=device)
        if image is not None and image.at_start:
            timestep[:, :tokens_per_frame] = 0.0
        return timestep

    def _check_window(self, latents_TCHW: Tensor) -> None:
        _, channels, height, width = latents_TCHW.shape
        _, rows, columns = self._checkpoint.patch_size
        assert channels == self.spec.channels, f"{channels} channels, expected {self.spec.channels}"
        assert height % rows == 0, f"{height} latent rows, expected a multiple of {rows}"
        assert width % columns == 0, f"{width} latent columns, expected a multiple of {columns}"
