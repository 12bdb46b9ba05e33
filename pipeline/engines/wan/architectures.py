"""The published Wan models: what their networks are, and how they were meant to be sampled.

Sources: Wan-Video/Wan2.1 ``generate.py`` and ``wan/configs/*.py``; Wan-Video/Wan2.2
``wan/configs/wan_{t2v_A14B,i2v_A14B,ti2v_5B}.py``; the networks' configurations are those of the
diffusers repositories (``Wan-AI/*-Diffusers``), keys as in ``WanTransformer3DModel``. Sizes are
those of the largest picture that a model was published for, but for the 480p ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.json_file import JsonFile
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One published model.

    Attributes:
        title: as its authors call it.
        num_parameters: of one transformer; of two experts, each.
        transformer: its configuration; the text is 4096 wide everywhere.
        latent_channels: of its autoencoder.
        takes_image: it continues an image, and can't do without.
        boundary_ratio: of the noise, above which the first of two experts works; ``None``: one
            model for all.
        num_frames: its own length, at ``fps`` frames per second.
        guidance_scale: of classifier-free guidance; of two experts, the first.
        guidance_scale_2: of the second.
    """

    title: str
    num_parameters: int
    transformer: Mapping[str, Any]
    latent_channels: int = 16
    takes_image: bool = False
    boundary_ratio: float | None = None
    num_frames: int = 81
    fps: float = 16.0
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    guidance_scale_2: float | None = None
    flow_shift: float

    @property
    def window_latent_frames(self) -> int:
        """Its own length: four frames a latent frame, but for the first."""
        return 1 + (self.num_frames - 1) // 4

    @property
    def guidance(self) -> str:
        """Its guidance for a table, of two experts both."""
        both = (self.guidance_scale, self.guidance_scale_2)
        return " / ".join(f"{scale:g}" for scale in both if scale is not None)


def _transformer(
    heads: int, layers: int, ffn_dim: int, channels: int = 16, **others: int
) -> Mapping[str, Any]:
    config = {
        "num_attention_heads": heads,
        "attention_head_dim": 128,
        "num_layers": layers,
        "ffn_dim": ffn_dim,
        "freq_dim": 256,
        "text_dim": 4096,
        "in_channels": channels,
        "out_channels": channels,
    }
    return MappingProxyType(config | others)


_14B = _transformer(40, 40, 13824)
# 16 channels of noise, 16 of the image's latent, 4 that say which latent frames are given.
_I2V_14B = _transformer(40, 40, 13824, in_channels=36, image_dim=1280, added_kv_proj_dim=5120)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "wan2.1-t2v-1.3b": Architecture(
            title="Wan2.1 T2V 1.3B",
            num_parameters=1_418_996_800,
            transformer=_transformer(12, 30, 8960),
            width=832,
            height=480,
            num_inference_steps=50,
            guidance_scale=5.0,
            flow_shift=3.0,
        ),
        "wan2.1-t2v-14b": Architecture(
            title="Wan2.1 T2V 14B",
            num_parameters=14_288_491_584,
            transformer=_14B,
            width=1280,
            height=720,
            num_inference_steps=50,
            guidance_scale=5.0,
            flow_shift=5.0,
        ),
        "wan2.1-i2v-14b-480p": Architecture(
            title="Wan2.1 I2V 14B 480P",
            num_parameters=16_394_878_784,
            transformer=_I2V_14B,
            takes_image=True,
            width=832,
            height=480,
            num_inference_steps=40,
            guidance_scale=5.0,
            flow_shift=3.0,
        ),
        "wan2.1-i2v-14b-720p": Architecture(
            title="Wan2.1 I2V 14B 720P",
            num_parameters=16_394_878_784,
            transformer=_I2V_14B,
            takes_image=True,
            width=1280,
            height=720,
            num_inference_steps=40,
            guidance_scale=5.0,
            flow_shift=5.0,
        ),
        "wan2.2-t2v-a14b": Architecture(
            title="Wan2.2 T2V A14B",
            num_parameters=14_288_491_584,
            transformer=_14B,
            boundary_ratio=0.875,
            width=1280,
            height=720,
            num_inference_steps=40,
            guidance_scale=4.0,
            guidance_scale_2=3.0,
            flow_shift=12.0,
        ),
        "wan2.2-i2v-a14b": Architecture(
            title="Wan2.2 I2V A14B",
            num_parameters=14_288_901_184,
            transformer=_transformer(40, 40, 13824, in_channels=36),
            takes_image=True,
            boundary_ratio=0.9,
            width=1280,
            height=720,
            num_inference_steps=40,
            guidance_scale=3.5,
            guidance_scale_2=3.5,
            flow_shift=5.0,
        ),
        "wan2.2-ti2v-5b": Architecture(
            title="Wan2.2 TI2V 5B",
            num_parameters=4_999_787_712,
            transformer=_transformer(24, 30, 14336, channels=48),
            latent_channels=48,
            num_frames=121,
            fps=24.0,
            width=1280,
            height=704,
            num_inference_steps=50,
            guidance_scale=5.0,
            flow_shift=5.0,
        ),
    }
)


def architecture(name: str) -> Architecture:
    """The published model of that name.

    Raises:
        ConfigError: there is none.
    """
    found = ARCHITECTURES.get(name)
    if found is None:
        close = get_close_matches(name, ARCHITECTURES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(ARCHITECTURES)}"
        raise ConfigError(f"engine.architecture = {name!r}: no such model; {hint}")
    return found


def check_architecture(name: str, folder: Path) -> None:
    """Refuse a checkpoint that is of another model than was meant.

    Args:
        name: of the model that was meant.
        folder: the checkpoint, in diffusers' layout.

    Raises:
        ConfigError: there is no such model.
        WeightsError: the checkpoint is another one; it names what differs.
    """
    meant = architecture(name)
    config = JsonFile.read(folder / "transformer" / "config.json")
    # A config may leave out what is diffusers' default: the 14B model's.
    usual = dict(_14B) | {"image_dim": None, "added_kv_proj_dim": None}
    for key, default in usual.items():
        expected = meant.transformer.get(key)
        if config.values.get(key, default) != expected:
            raise config.wrong(key, f"{expected!r}, as {meant.title} has it (engine.architecture)")
    index = JsonFile.read(folder / "model_index.json")
    has_experts = index.values.get("boundary_ratio") is not None
    if has_experts != (meant.boundary_ratio is not None):
        raise WeightsError(
            f"{index.path}: boundary_ratio: got {index.values.get('boundary_ratio')!r}, expected "
            f"{meant.boundary_ratio!r}, as {meant.title} has it (engine.architecture)"
        )
