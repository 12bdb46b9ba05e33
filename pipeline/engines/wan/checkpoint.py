"""A Wan checkpoint in diffusers' folder layout: what it holds, whether it can be rendered with.

    model_index.json             which classes; expand_timesteps (Wan 2.2 TI2V 5B), boundary_ratio
    transformer/                 config.json, diffusion_pytorch_model*.safetensors
    transformer_2/               the same: the expert below boundary_ratio (Wan 2.2 A14B)
    vae/                         config.json, diffusion_pytorch_model*.safetensors
    text_encoder/                config.json, model*.safetensors
    tokenizer/                   whatever its class needs
    scheduler/                   scheduler_config.json: the flow shift
    image_encoder/               config.json, model*.safetensors: CLIP (Wan 2.1 image to video)
    image_processor/             preprocessor_config.json: what CLIP is shown
    nightreel.json               optional: defaults that diffusers' layout has no place for

Weights may also be what ``torch.save`` wrote (``.bin``, ``.pth``, ``.pt``), and in the names of the
original repositories. Whatever else a checkpoint comes as is laid out like this first, see
``pipeline.engines.wan.assembly``; then a transformer's folder may hold ``loras.json`` too.

Values that a config leaves out are those of diffusers' constructors (``AutoencoderKLWan`` and
``WanTransformer3DModel``, huggingface/diffusers 0.42). Reads no weights and needs neither torch nor
diffusers.

Not covered: checkpoints for the last frame too, with control channels or with sound; they are
refused by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engines.protocol import EngineSpec
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.reach import reach_latent_frames
from pipeline.engines.wan.variant import Variant
from pipeline.engines.wan.weights import LORA_STEM, digest_files, weight_files
from pipeline.errors import WeightsError
from pipeline.schedule import NUM_TRAIN_TIMESTEPS

if TYPE_CHECKING:
    from pathlib import Path

# diffusers' attention takes the last 512 tokens for text where there are image tokens before them.
TEXT_TOKENS_BESIDE_AN_IMAGE = 512
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
        mask_channels: channels that say, beside the image's own, which latent frames are given;
            0 where an image is not shown by channels.
        has_image_encoder: the transformer hears of the image by cross-attention too (Wan 2.1).
    """

    folder: Path
    spec: EngineSpec
    patch_size: tuple[int, int, int]
    max_sequence_length: int
    expand_timesteps: bool
    mask_channels: int = 0
    has_image_encoder: bool = False

    @property
    def has_two_experts(self) -> bool:
        """Whether there is a ``transformer_2``."""
        return self.spec.boundary_timestep is not None

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
        variant = Variant.read(folder)
        vae = JsonFile.read(folder / "vae" / "config.json")
        settings = _read_settings(folder, variant)
        _check_channels(variant, vae)
        _check_transformer(folder, variant.transformer, settings)
        _check_image(variant, settings)
        if variant.boundary_timestep is not None:
            _check_second_expert(folder, variant.transformer)
        patch_size = _patch_size(variant.transformer)
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
            decode_reach_latent_frames=_decode_reach(vae),
            fps=settings.number("fps"),
            width=settings.integer("width"),
            height=settings.integer("height"),
            num_inference_steps=settings.integer("num_inference_steps"),
            guidance_scale=settings.number("guidance_scale"),
            flow_shift=settings.number("flow_shift"),
            weights_digest=digest_files(folder, _digested_files(folder, variant)),
            boundary_timestep=variant.boundary_timestep,
            guidance_scale_2=(
                settings.number("guidance_scale_2")
                if "guidance_scale_2" in settings.values
                else None
            ),
            image=variant.image,
        )
        return cls(
            folder=folder,
            spec=spec,
            patch_size=patch_size,
            max_sequence_length=settings.integer("max_sequence_length"),
            expand_timesteps=variant.expand_timesteps,
            mask_channels=temporal if variant.image == "channels" else 0,
            has_image_encoder=variant.has_image_encoder,
        )


def read_spec(folder: Path) -> EngineSpec:
    """What a checkpoint folder can be rendered with, without loading its weights.

    Raises:
        WeightsError: see ``Checkpoint.open``.
    """
    return Checkpoint.open(folder).spec


def _read_settings(folder: Path, variant: Variant) -> JsonFile:
    """``nightreel.json`` over the scheduler's shift over the published settings."""
    scheduler = JsonFile.read(folder / "scheduler" / "scheduler_config.json")
    scheduler.expect("num_train_timesteps", [None, NUM_TRAIN_TIMESTEPS])
    values = variant.defaults
    known = set(values)
    for key in ("flow_shift", "shift"):
        if scheduler.values.get(key) is not None:
            values["flow_shift"] = scheduler.number(key)
    path = folder / "nightreel.json"
    if path.is_file():
        own = JsonFile.read(path)
        own.expect_keys(known)
        if "guidance_scale" in own.values:
            # As in diffusers one scale is for both experts.
            values.pop("guidance_scale_2", None)
        values.update(own.values)
    return JsonFile(path, values)


def _check_transformer(folder: Path, transformer: JsonFile, settings: JsonFile) -> None:
    text_encoder = JsonFile.read(folder / "text_encoder" / "config.json")
    transformer.expect("_class_name", ["WanTransformer3DModel"])
    text_encoder.expect("model_type", ["umt5"])
    if transformer.integer("text_dim", 4096) != text_encoder.integer("d_model"):
        raise transformer.wrong("text_dim", f"d_model of {text_encoder.path}")
    rope_max_seq_len = transformer.integer("rope_max_seq_len", 1024)
    if settings.integer("window_latent_frames") > rope_max_seq_len:
        raise settings.wrong(
            "window_latent_frames", f"at most {rope_max_seq_len}, the rotary table's length"
        )
    if not settings.number("fps") > 0:
        raise settings.wrong("fps", "more than 0")


def _check_channels(variant: Variant, vae: JsonFile) -> None:
    vae.expect("_class_name", ["AutoencoderKLWan"])
    z_dim = vae.integer("z_dim", 16)
    expected = {"in_channels": z_dim, "out_channels": z_dim}
    what = f"the {z_dim} latent channels of {vae.path}"
    if variant.image == "channels":
        _, mask_channels = _compression(vae)
        expected["in_channels"] = 2 * z_dim + mask_channels
        what = f"{2 * z_dim + mask_channels}: noise and image of {z_dim}, mask of {mask_channels}"
    for key, channels in expected.items():
        if variant.transformer.integer(key, 16) != channels:
            raise variant.transformer.wrong(key, what)


def _check_image(variant: Variant, settings: JsonFile) -> None:
    if not variant.has_image_encoder:
        return
    if variant.image != "channels":
        variant.transformer.expect("image_dim", [None])
    # A table of positions makes it a model for first and last frame.
    variant.transformer.expect("pos_embed_seq_len", [None])
    settings.expect("max_sequence_length", [TEXT_TOKENS_BESIDE_AN_IMAGE])


def _check_second_expert(folder: Path, first: JsonFile) -> None:
    """Whatever both are told must have the same shape; they may differ in all else."""
    second = JsonFile.read(folder / "transformer_2" / "config.json")
    second.expect("_class_name", ["WanTransformer3DModel"])
    for key in ("in_channels", "out_channels", "text_dim", "patch_size", "image_dim"):
        if second.values.get(key) != first.values.get(key):
            raise second.wrong(key, f"{first.values.get(key)!r}, as in {first.path}")


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


def _decode_reach(vae: JsonFile) -> int:
    downsample = vae.sequence("temperal_downsample", [False, True, True])
    return reach_latent_frames(vae.integer("num_res_blocks", 2), [*map(bool, downsample)][::-1])


def _digested_files(folder: Path, variant: Variant) -> list[Path]:
    paths = [folder / "model_index.json", *folder.glob("nightreel.json")]
    for component, stem in variant.components.items():
        if not (folder / component).is_dir():
            raise WeightsError(f"{folder / component}: no such folder, expected the {component}")
        paths += [path for path in (folder / component).iterdir() if path.suffix in CONFIG_SUFFIXES]
        paths += weight_files(folder / component, stem) if stem else []
    paths += folder.glob(f"transformer*/{LORA_STEM}*")
    return paths
