"""Which of the published Wan models a folder holds, and the settings that it was published with.

    model                    class in model_index.json   image        experts  channels in
    T2V 1.3B, 14B (2.1)      WanPipeline                 none         1        16
    I2V 14B (2.1)            WanImageToVideoPipeline     channels     1        36, and CLIP
    T2V A14B (2.2)           WanPipeline                 none         2        16
    I2V A14B (2.2)           WanImageToVideoPipeline     channels     2        36
    TI2V 5B (2.2)            WanPipeline                 first_frame  1        48

Sources: the ``model_index.json`` of the Wan-AI repositories in diffusers' layout, and
Wan-Video/Wan2.1 and Wan2.2 (``generate.py``, ``wan/configs``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engines.wan.json_file import JsonFile
from pipeline.schedule import NUM_TRAIN_TIMESTEPS

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engines.protocol import ImageConditioning

# The published Wan 2.1 at 480p: 81 frames at 16 per second, guidance 5, shift 5 (Wan-Video/Wan2.1,
# generate.py and wan/text2video.py). 20 steps are for the second-order solver; stock takes 50.
DEFAULTS = {
    "window_latent_frames": 21,
    "fps": 16.0,
    "width": 832,
    "height": 480,
    "num_inference_steps": 20,
    "guidance_scale": 5.0,
    "flow_shift": 5.0,
    "max_sequence_length": 512,
}
# Wan 2.2 TI2V 5B: 121 frames at 24 per second, 1280x704 (Wan-Video/Wan2.2,
# wan/configs/wan_ti2v_5B.py). A14B: 4.0 above the boundary and 3.0 below it for text to video,
# 3.5 for both for image to video (wan_t2v_A14B.py, wan_i2v_A14B.py, which name low noise first).
TI2V_DEFAULTS = {"window_latent_frames": 31, "fps": 24.0, "width": 1280, "height": 704}
T2V_EXPERTS_DEFAULTS = {"guidance_scale": 4.0, "guidance_scale_2": 3.0}
I2V_EXPERTS_DEFAULTS = {"guidance_scale": 3.5, "guidance_scale_2": 3.5}


@dataclass(frozen=True, slots=True)
class Variant:
    """What ``model_index.json`` and the transformer's configuration say between them."""

    index: JsonFile
    transformer: JsonFile

    @classmethod
    def read(cls, folder: Path) -> Variant:
        """Read both.

        Raises:
            WeightsError: a file is missing or damaged, or names no pipeline that we know.
        """
        index = JsonFile.read(folder / "model_index.json")
        index.expect("_class_name", ["WanPipeline", "WanImageToVideoPipeline"])
        ratio = index.values.get("boundary_ratio")
        if ratio is not None and not 0.0 < index.number("boundary_ratio") <= 1.0:
            raise index.wrong("boundary_ratio", "null, or more than 0 and at most 1")
        return cls(index, JsonFile.read(folder / "transformer" / "config.json"))

    @property
    def expand_timesteps(self) -> bool:
        """Whether the transformer is told the timestep once per token."""
        return bool(self.index.values.get("expand_timesteps"))

    @property
    def image(self) -> ImageConditioning:
        """Whoever takes a timestep per token can be given a clean first latent frame."""
        if self.expand_timesteps:
            return "first_frame"
        is_i2v = self.index.values["_class_name"] == "WanImageToVideoPipeline"
        return "channels" if is_i2v else "none"

    @property
    def boundary_timestep(self) -> float | None:
        """Where the second expert takes over, as ``WanPipeline`` computes it."""
        if self.index.values.get("boundary_ratio") is None:
            return None
        return self.index.number("boundary_ratio") * NUM_TRAIN_TIMESTEPS

    @property
    def has_image_encoder(self) -> bool:
        """Whether the transformer hears of the image by cross-attention too."""
        return self.transformer.values.get("image_dim") is not None

    @property
    def components(self) -> dict[str, str]:
        """The folders that are read, each with the stem of its weights; none where it has none."""
        folders = {
            "transformer": "diffusion_pytorch_model",
            "vae": "diffusion_pytorch_model",
            "text_encoder": "model",
            "tokenizer": "",
            "scheduler": "",
        }
        if self.boundary_timestep is not None:
            folders["transformer_2"] = "diffusion_pytorch_model"
        if self.has_image_encoder:
            folders |= {"image_encoder": "model", "image_processor": ""}
        return folders

    @property
    def defaults(self) -> dict[str, object]:
        """The published settings, by the names that they have in ``nightreel.json``."""
        values: dict[str, object] = dict(DEFAULTS)
        if self.image == "first_frame":
            values |= TI2V_DEFAULTS
        if self.boundary_timestep is not None:
            is_i2v = self.image == "channels"
            values |= I2V_EXPERTS_DEFAULTS if is_i2v else T2V_EXPERTS_DEFAULTS
        return values
