"""The ``wan`` engine: one window through Wan's transformer, prompts in, frames out.

Shape suffixes: B = 1, T latent frames, C latent channels, H height, W width, S text tokens, D text
width.

The batch is always 1: a batch of 2 gives other bits. Whatever enters a network is copied to storage
of its own first, since the place of a tensor in memory can decide which kernel adds it up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.decoder import WanStreamDecoder
from pipeline.engines.wan.modules import load_text_encoder, load_transformer, load_vae
from pipeline.engines.wan.text import PromptEncoder, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.protocol import EngineSpec, NoiseLevel


class WanEngine:
    """A Wan 2.1 or 2.2 text-to-video checkpoint, loaded. Implements ``Engine``."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        transformer: Any,
        prompt_encoder: PromptEncoder,
        vae: Any,
        dtype: torch.dtype,
    ) -> None:
        """Take loaded parts; ``load`` makes them."""
        self._checkpoint = checkpoint
        self._transformer = transformer
        self._prompt_encoder = prompt_encoder
        self._vae = vae
        self._dtype = dtype

    @classmethod
    def load(cls, folder: Path, *, device: torch.device | str, dtype: torch.dtype) -> WanEngine:
        """Load a checkpoint folder onto a device.

        Args:
            folder: in diffusers' layout; see ``pipeline.engines.wan.checkpoint``.
            device: where the networks live and run.
            dtype: precision of transformer and text encoder; see ``pipeline.engines.wan.modules``.

        Raises:
            WeightsError: something is missing, damaged or does not fit.
        """
        checkpoint = Checkpoint.open(folder)
        device = torch.device(device)
        text_encoder = load_text_encoder(folder / "text_encoder", device, dtype)
        tokenizer = load_tokenizer(folder / "tokenizer", text_encoder.config.vocab_size)
        prompt_encoder = PromptEncoder(tokenizer, text_encoder, checkpoint.max_sequence_length)
        return cls(
            checkpoint,
            transformer=load_transformer(folder / "transformer", device, dtype),
            prompt_encoder=prompt_encoder,
            vae=load_vae(folder / "vae", device),
            dtype=dtype,
        )

    @property
    def spec(self) -> EngineSpec:
        """What is known of the engine without its weights."""
        return self._checkpoint.spec

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """Each prompt by itself to ``[S, D]``; see ``Engine.encode_prompts``."""
        return [self._prompt_encoder.encode(prompt) for prompt in prompts]

    @torch.no_grad()
    def predict(self, latents_TCHW: Tensor, level: NoiseLevel, prompt_embeds_SD: Tensor) -> Tensor:
        """The velocity ``noise - x0`` of one window, ``[T, C, H, W]``; see ``Engine.predict``."""
        self._check_window(latents_TCHW)
        latents_BCTHW = latents_TCHW.transpose(0, 1)[None]
        velocity_BCTHW = self._transformer(
            hidden_states=self._owned(latents_BCTHW),
            timestep=self._timestep(level, latents_TCHW.shape),
            encoder_hidden_states=self._owned(prompt_embeds_SD[None]),
            return_dict=False,
        )[0]
        velocity_TCHW: Tensor = velocity_BCTHW[0].transpose(0, 1)
        return velocity_TCHW.to("cpu", torch.float32).contiguous()

    def stream_decoder(self) -> WanStreamDecoder:
        """A fresh decoder for one video; any number may be in use at a time."""
        return WanStreamDecoder(self._vae)

    def _owned(self, tensor: Tensor) -> Tensor:
        copy = torch.empty(tensor.shape, dtype=self._dtype, device=self._transformer.device)
        return copy.copy_(tensor)

    def _timestep(self, level: NoiseLevel, shape_TCHW: torch.Size) -> Tensor:
        """fp32 ``[1]``, or one per token ``[1, tokens]`` where the checkpoint expands timesteps."""
        shape: tuple[int, ...] = (1,)
        if self._checkpoint.expand_timesteps:
            frames, rows, columns = self._checkpoint.patch_size
            tokens_per_frame = (shape_TCHW[2] // rows) * (shape_TCHW[3] // columns)
            shape = (1, shape_TCHW[0] // frames * tokens_per_frame)
        return torch.full(
            shape, level.timestep, dtype=torch.float32, device=self._transformer.device
        )

    def _check_window(self, latents_TCHW: Tensor) -> None:
        _, channels, height, width = latents_TCHW.shape
        _, rows, columns = self._checkpoint.patch_size
        assert channels == self.spec.channels, f"{channels} channels, expected {self.spec.channels}"
        assert height % rows == 0, f"{height} latent rows, expected a multiple of {rows}"
        assert width % columns == 0, f"{width} latent columns, expected a multiple of {columns}"
