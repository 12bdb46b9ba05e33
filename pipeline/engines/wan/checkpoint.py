"""A Wan checkpoint in diffusers' folder layout: what it holds, whether it can be rendered with.

    model_index.json             which classes; expand_timesteps (Wan 2.2 TI2V 5B), boundary_ratio
    transformer/                 config.json, diffusion_pytorch_model*.safetensors
    vae/                         config.json, diffusion_pytorch_model*.safetensors
    text_encoder/                config.json, model*.safetensors
    tokenizer/                   whatever its class needs
    scheduler/                   scheduler_config.json: the flow shift
    nightreel.json               optional: defaults that diffusers' layout has no place for

Weights may also be what ``torch.save`` wrote (``.bin``, ``.pth``, ``.pt``), and in the names of the
original repositories. Whatever else a checkpoint comes as is laid out like this first, see
``pipeline.engines.wan.assembly``; then a transformer's folder may hold ``loras.json`` too.

Values that a config leaves out are those of diffusers' constructors (``AutoencoderKLWan`` and
``WanTransformer3DModel``, huggingface/diffusers 0.42). Reads no weights and needs neither torch nor
diffusers.

Not covered: image-to-video and two-expert checkpoints; they are refused by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engines.protocol import EngineSpec
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.weights import LORA_STEM, digest_files, weight_files
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

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
# Weights are named one by one; beside them these decide numbers (tokenizers come in all three).
CONFIG_SUFFIXES = (".json", ".model", ".txt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose configuration files were read and fit together.

    Attributes:
        folder: where it lies.
        spec: what an engine made from it will say of itself.
        patch_size: latent frames, rows and columns per token of the transformer.
        max_sequence_length: text tokens that a prompt is cut or padded to.
        expand_timesteps: the transformer is told the timestep once per token (Wan 2.2 TI2V 5B).
    """

    folder: Path
    spec: EngineSpec
    patch_size: tuple[int, int, int]
    max_sequence_length: int
    expand_timesteps: bool

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read and check the folder's configuration; name its weights.

        Raises:
            WeightsError: a file is missing or damaged, or the parts don't fit together; it names
                the file, what was found and what was expected.
        """
        if not folder.is_dir():
            raise WeightsError(
                f"{folder}: no such folder, expected a Wan checkpoint in diffusers' layout"
            )
        index = _read_index(folder)
        transformer = JsonFile.read(folder / "transformer" / "config.json")
        vae = JsonFile.read(folder / "vae" / "config.json")
        text_encoder = JsonFile.read(folder / "text_encoder" / "config.json")
        settings = _read_settings(folder)
        _check_transformer(transformer, vae, text_encoder, settings)
        patch_size = _patch_size(transformer)
        spatial, temporal = _compression(vae)
        size_multiple_px = spatial * math.lcm(*patch_size[1:])
        for key in ("width", "height"):
            if settings.integer(key) % size_multiple_px:
                raise settings.wrong(key, f"a multiple of {size_multiple_px}")
        spec = EngineSpec(
            name="wan",
            channels=vae.integer("z_dim", 16),
            temporal_compression=temporal,
            spatial_compression=spatial,
            size_multiple_px=size_multiple_px,
            window_latent_frames=settings.integer("window_latent_frames"),
            fps=settings.number("fps"),
            width=settings.integer("width"),
            height=settings.integer("height"),
            num_inference_steps=settings.integer("num_inference_steps"),
            guidance_scale=settings.number("guidance_scale"),
            flow_shift=settings.number("flow_shift"),
            weights_digest=digest_files(folder, _digested_files(folder)),
        )
        return cls(
            folder=folder,
            spec=spec,
            patch_size=patch_size,
            max_sequence_length=settings.integer("max_sequence_length"),
            expand_timesteps=bool(index.values.get("expand_timesteps")),
        )


def read_spec(folder: Path) -> EngineSpec:
    """What a checkpoint folder can be rendered with, without loading its weights.

    Raises:
        WeightsError: see ``Checkpoint.open``.
    """
    return Checkpoint.open(folder).spec


def _read_index(folder: Path) -> JsonFile:
    index = JsonFile.read(folder / "model_index.json")
    index.expect("_class_name", ["WanPipeline"])
    index.expect("boundary_ratio", [None])
    return index


def _read_settings(folder: Path) -> JsonFile:
    """``nightreel.json`` over the scheduler's shift over the defaults."""
    scheduler = JsonFile.read(folder / "scheduler" / "scheduler_config.json")
    values: dict[str, object] = dict(DEFAULTS)
    for key in ("flow_shift", "shift"):
        if scheduler.values.get(key) is not None:
            values["flow_shift"] = scheduler.number(key)
    path = folder / "nightreel.json"
    if path.is_file():
        own = JsonFile.read(path)
        own.expect_keys(DEFAULTS)
        values.update(own.values)
    return JsonFile(path, values)


def _check_transformer(
    transformer: JsonFile, vae: JsonFile, text_encoder: JsonFile, settings: JsonFile
) -> None:
    transformer.expect("_class_name", ["WanTransformer3DModel"])
    vae.expect("_class_name", ["AutoencoderKLWan"])
    text_encoder.expect("model_type", ["umt5"])
    transformer.expect("image_dim", [None])
    z_dim = vae.integer("z_dim", 16)
    for key in ("in_channels", "out_channels"):
        if transformer.integer(key, 16) != z_dim:
            raise transformer.wrong(key, f"the {z_dim} latent channels of {vae.path}")
    if transformer.integer("text_dim", 4096) != text_encoder.integer("d_model"):
        raise transformer.wrong("text_dim", f"d_model of {text_encoder.path}")
    rope_max_seq_len = transformer.integer("rope_max_seq_len", 1024)
    if settings.integer("window_latent_frames") > rope_max_seq_len:
        raise settings.wrong(
            "window_latent_frames", f"at most {rope_max_seq_len}, the rotary table's length"
        )
    if not settings.number("fps") > 0:
        raise settings.wrong("fps", "more than 0")


def _patch_size(transformer: JsonFile) -> tuple[int, int, int]:
    match transformer.sequence("patch_size", [1, 2, 2]):
        case [1, int(rows), int(columns)] if rows > 0 and columns > 0:
            return (1, rows, columns)
        case _:
            raise transformer.wrong(
                "patch_size", "[1, rows, columns]: windows end between any two frames"
            )


def _compression(vae: JsonFile) -> tuple[int, int]:
    """Pixels per latent pixel along a side, and frames per latent frame."""
    doublings = len(vae.sequence("dim_mult", [1, 2, 4, 4])) - 1
    downsample = vae.sequence("temperal_downsample", [False, True, True])
    if len(downsample) != doublings:
        raise vae.wrong("temperal_downsample", f"{doublings} values, one per doubling of dim_mult")
    spatial = 2**doublings * vae.integer("patch_size", 1)
    temporal = 2 ** sum(map(bool, downsample))
    if vae.integer("scale_factor_spatial", 8) != spatial:
        raise vae.wrong("scale_factor_spatial", f"{spatial}, as dim_mult and patch_size make it")
    if vae.integer("scale_factor_temporal", 4) != temporal:
        raise vae.wrong("scale_factor_temporal", f"{temporal}, as temperal_downsample makes it")
    z_dim = vae.integer("z_dim", 16)
    for key in ("latents_mean", "latents_std"):
        if len(vae.sequence(key, [0.0] * 16)) != z_dim:
            raise vae.wrong(key, f"{z_dim} numbers, one per latent channel")
    return spatial, temporal


def _digested_files(folder: Path) -> list[Path]:
    paths = [folder / "model_index.json", *folder.glob("nightreel.json")]
    for component in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
        if not (folder / component).is_dir():
            raise WeightsError(f"{folder / component}: no such folder, expected the {component}")
        paths += [path for path in (folder / component).iterdir() if path.suffix in CONFIG_SUFFIXES]
    paths += folder.glob(f"transformer*/{LORA_STEM}*")
    paths += weight_files(folder / "transformer", "diffusion_pytorch_model")
    paths += weight_files(folder / "vae", "diffusion_pytorch_model")
    paths += weight_files(folder / "text_encoder", "model")
    return paths
