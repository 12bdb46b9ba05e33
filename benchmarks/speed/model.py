"""A Wan transformer with random weights, made where it will run: nothing is downloaded."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from pipeline.engines.protocol import EngineSpec
from pipeline.engines.wan.acceleration import accelerate
from pipeline.engines.wan.architectures import ARCHITECTURES
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.paired import PairedWanEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from pipeline.engines.speed import SpeedOptions

PATCH: Final = (1, 2, 2)
SPATIAL_COMPRESSION: Final = 8
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class OneNetwork:
    """What a step needs of ``Networks``: prompts come encoded, and nothing is decoded."""

    network: Any
    device: torch.device
    dtype: torch.dtype

    @contextmanager
    def transformer(self, *, is_first: bool) -> Iterator[Any]:
        """The only one there is."""
        assert is_first
        yield self.network


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is measured, and where.

    Attributes:
        title: for the table.
        config: of the ``WanTransformer3DModel``.
        width, height: in pixels.
        window_latent_frames: all of the video.
        text_tokens: of either prompt.
        flow_shift, guidance_scale: as published.
        device: ``cuda`` or ``cpu``.
        dtype: but for what diffusers keeps in fp32.
    """

    title: str
    config: Mapping[str, Any]
    width: int
    height: int
    window_latent_frames: int
    text_tokens: int
    flow_shift: float
    guidance_scale: float
    device: str
    dtype: torch.dtype

    @property
    def num_frames(self) -> int:
        """Frames of the one window."""
        return 4 * (self.window_latent_frames - 1) + 1

    @property
    def spec(self) -> EngineSpec:
        """What the engine says of itself; the sizes are the model's own."""
        return EngineSpec(
            name="wan",
            channels=self.config["in_channels"],
            temporal_compression=4,
            spatial_compression=SPATIAL_COMPRESSION,
            size_multiple_px=SPATIAL_COMPRESSION * PATCH[1],
            window_latent_frames=self.window_latent_frames,
            fps=16.0,
            width=self.width,
            height=self.height,
            num_inference_steps=50,
            guidance_scale=self.guidance_scale,
            flow_shift=self.flow_shift,
            weights_digest="random",
            decode_reach_latent_frames=0,  # nothing is decoded
        )

    def transformer(self) -> Any:
        """The network, the same weights every time."""
        torch.manual_seed(SEED)
        with torch.device(self.device):
            network = WanTransformer3DModel(**self.config).eval()
        kept = frozenset(network._keep_in_fp32_modules)  # noqa: SLF001 - diffusers' own policy
        for name, parameter in network.named_parameters():
            if kept.isdisjoint(name.split(".")):
                parameter.data = parameter.data.to(self.dtype)
        return network.requires_grad_(requires_grad=False)

    def engine(self, speed: SpeedOptions) -> WanEngine:
        """Ours, without the parts that a step does not need."""
        transformer = self.transformer()
        accelerate(transformer, speed, torch.device(self.device), self.dtype)
        engine = PairedWanEngine if speed.batch_guidance else WanEngine
        return engine(
            Checkpoint(
                folder=Path("random weights"),
                spec=self.spec,
                patch_size=PATCH,
                max_sequence_length=self.text_tokens,
                expand_timesteps=False,
            ),
            OneNetwork(transformer, torch.device(self.device), self.dtype),  # type: ignore[arg-type]
        )

    def prompt_embeds(self) -> tuple[Tensor, Tensor]:
        """Of a prompt and of a negative prompt, ``[S, D]``, fp32 on the CPU; random."""
        generator = torch.Generator().manual_seed(SEED)
        both = torch.randn(2, self.text_tokens, self.config["text_dim"], generator=generator)
        return both[0], both[1]


def published() -> Model:
    """Wan 2.1 T2V 1.3B at 832x480, 81 frames, bf16 on a GPU."""
    own = ARCHITECTURES["wan2.1-t2v-1.3b"]
    return Model(
        title=own.title,
        config=own.transformer,
        width=own.width,
        height=own.height,
        window_latent_frames=own.window_latent_frames,
        text_tokens=512,
        flow_shift=own.flow_shift,
        guidance_scale=own.guidance_scale,
        device="cuda",
        dtype=torch.bfloat16,
    )


def tiny() -> Model:
    """The same code in a second on a CPU; its figures say nothing of a GPU."""
    config = dict(ARCHITECTURES["wan2.1-t2v-1.3b"].transformer)
    config |= {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2}
    config |= {"ffn_dim": 48, "freq_dim": 32, "text_dim": 24}
    return Model(
        title="tiny",
        config=MappingProxyType(config),
        width=48,
        height=32,
        window_latent_frames=21,
        text_tokens=16,
        flow_shift=3.0,
        guidance_scale=5.0,
        device="cpu",
        dtype=torch.float32,
    )
