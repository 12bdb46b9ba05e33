"""Stage ``transformer``: flow matching on cached latents, with the text encoder trained along.

``x = (1 - sigma) x0 + sigma noise``; the network is told ``1000 sigma`` and learns ``noise - x0``
(Lipman et al. 2210.02747). Noise levels are logit-normal (Esser et al. 2403.03206), pushed through
the same shift that the sampler uses. Short windows come first: most of what a caption says can be
learned from them. On a GPU the blocks are compiled.

Shapes: B windows, C channels, T latent frames, H and W latent pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import WanTransformer3DModel

from jobs.embedded.captions import CaptionTable
from jobs.embedded.text import build_text_encoder, embed_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerFast

    from jobs.embedded.latents import LatentCache
    from jobs.embedded.recipe import Recipe


def build_transformer(recipe: Recipe) -> WanTransformer3DModel:
    """A fresh transformer in Wan's shape."""
    ours = recipe.transformer
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=ours.num_attention_heads,
        attention_head_dim=ours.attention_head_dim,
        in_channels=recipe.autoencoder.z_dim,
        out_channels=recipe.autoencoder.z_dim,
        text_dim=recipe.text.d_model,
        freq_dim=ours.freq_dim,
        ffn_dim=ours.ffn_dim,
        num_layers=ours.num_layers,
    )
    torch.nn.init.zeros_(transformer.proj_out.weight)
    torch.nn.init.zeros_(transformer.proj_out.bias)
    return transformer


def shifted(sigma: Tensor, flow_shift: float) -> Tensor:
    """Push noise levels towards 1, as ``FlowMatchEulerDiscreteScheduler`` does with ``shift``."""
    return flow_shift * sigma / (1.0 + (flow_shift - 1.0) * sigma)


class TransformerStage:
    """The stage as the training loop sees it; everything that it draws from lies on ``device``."""

    name = "transformer"

    def __init__(
        self,
        recipe: Recipe,
        cache: LatentCache,
        tokenizer: PreTrainedTokenizerFast,
        device: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed + 1)
        self.recipe = recipe
        self.cache = cache
        self.tokenizer = tokenizer
        self.device = device
        self.statistics = cache.statistics()
        self.transformer = build_transformer(recipe).to(device)
        self.text_encoder = build_text_encoder(recipe.text, len(tokenizer)).to(device)
        self._captions: CaptionTable | None = None

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Transformer and text encoder."""
        return {"transformer": self.transformer, "text_encoder": self.text_encoder}

    def prepare(self) -> None:
        """Bring latents and captions onto the device; compile where that pays."""
        self.cache.load(self.device)
        self._captions = CaptionTable(
            self.recipe.text, self.tokenizer, self.cache.count, self.device
        )
        if self.device.type == "cuda":
            self.transformer.compile_repeated_blocks(dynamic=False)

    def window_length(self, fraction: float) -> int:
        """How many latent frames a window has when ``fraction`` of the budget is used."""
        for until, length in self.recipe.transformer.short_windows:
            if fraction < until:
                return length
        return self.recipe.geometry.window_latent_frames

    def batch(self, step: int, fraction: float) -> tuple[Tensor, ...]:
        """Unit latents, noise, noise levels and tokens of ``step``."""
        ours = self.recipe.transformer
        rng = np.random.default_rng([self.recipe.seed, 2, step])
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        length = self.window_length(fraction)
        full = self.recipe.geometry.window_latent_frames
        # Shorter windows are cheaper: take more of them.
        batch = round(ours.batch * min(8.0, full / length))
        x0, tokens_BS = self._windows(rng, batch, length)
        noise = torch.randn(x0.shape, generator=generator, device=self.device)
        normal = torch.randn(batch, generator=generator, device=self.device)
        sigma_B = shifted(torch.sigmoid(normal), self.recipe.sampler.flow_shift)
        return x0, noise, sigma_B, tokens_BS

    def loss(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Squared error of the velocity on a batch."""
        ours = self.recipe.transformer
        x0, noise, sigma_B, tokens_BS = batch
        level = sigma_B.view(-1, 1, 1, 1, 1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=ours.bf16):
            velocity = self.transformer(
                hidden_states=(1.0 - level) * x0 + level * noise,
                timestep=1000.0 * sigma_B,
                encoder_hidden_states=embed_tokens(self.text_encoder, tokens_BS),
                return_dict=False,
            )[0]
        loss = (velocity.float() - (noise - x0)).square().mean()
        return loss, {}

    def sample(self, folder: Path, step: int) -> None:
        """Nothing: samples need the autoencoder, see ``jobs.embedded.sampling``."""

    def _windows(self, rng: np.random.Generator, batch: int, length: int) -> tuple[Tensor, Tensor]:
        """Unit latents ``[B, C, T, H, W]`` and the captions' tokens ``[B, S]``."""
        if self._captions is None:
            self.prepare()
        assert self._captions is not None
        ours = self.recipe.transformer
        clips, windows_BTCHW = self.cache.windows(rng, batch, length, ours.interior)
        dropped = rng.uniform(size=batch) < ours.caption_dropout
        tokens_BS = self._captions.draw(rng, clips, dropped)
        return self.statistics.normalise(windows_BTCHW).transpose(1, 2), tokens_BS
