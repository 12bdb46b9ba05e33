"""Lays out whatever a checkpoint comes as like a diffusers folder, by links; copies no weights.

Three kinds are taken: a diffusers folder, a folder as the original repositories have it, and a
single file of a transformer on top of one of these. The original layout:

    config.json, diffusion_pytorch_model*    the transformer; 2.2 A14B: one of each in
                                             high_noise_model/ and low_noise_model/
    Wan2.1_VAE.pth or Wan2.2_VAE.pth         the autoencoder
    models_t5_umt5-xxl-enc-bf16.pth          the text encoder
    google/umt5-xxl/                         the tokenizer
    models_clip_open-clip-*.pth              2.1 image-to-video: CLIP

So everything else knows one layout, and what will be loaded can be looked at with ``ls``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.published_configs import (
    image_encoder_config,
    image_processor_config,
    text_encoder_config,
    transformer_config,
    vae_config,
)
from pipeline.engines.wan.weights import LORA_STEM, LORAS, SAFETENSORS, TORCH_SUFFIXES, weight_files
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STEM = "diffusion_pytorch_model"
INDEX = "model_index.json"
EXPERTS = {"transformer": "high_noise_model", "transformer_2": "low_noise_model"}
TRANSFORMERS = tuple(EXPERTS)
TEXT_PARTS = ("text_encoder", "tokenizer")
# What original repositories have no file for (Wan-Video/Wan2.2 wan/configs/wan_{t2v,i2v}_A14B.py;
# Wan-Video/Wan2.1 generate.py): the boundary of two experts, by whether they take an image, and
# the shift of everything else.
BOUNDARY_RATIOS = {False: 0.875, True: 0.9}
FLOW_SHIFT, T2V_EXPERTS_FLOW_SHIFT = 5.0, 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFile:
    """Low-rank changes to merge.

    Attributes:
        path: the file.
        scale: how much of them is added.
        expert: ``high`` or ``low`` noise, where there are two; empty: every transformer.
    """

    path: Path
    scale: float = 1.0
    expert: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a checkpoint is put together from.

    Attributes:
        weights: a folder of either layout, or a transformer's file.
        weights_2: the file of the second expert, where ``weights`` is the file of the first.
        base: a folder of either layout: whatever ``weights`` lacks.
        loras: changes to the transformers.
    """

    weights: Path
    weights_2: Path | None = None
    base: Path | None = None
    loras: tuple[LoraFile, ...] = ()

    @property
    def is_diffusers_folder(self) -> bool:
        """Whether nothing needs to be put together."""
        return (self.weights / INDEX).is_file() and not (self.base or self.weights_2 or self.loras)


def assemble(sources: Sources, folder: Path) -> None:
    """Make ``folder``, which is not there yet, a checkpoint in diffusers' layout.

    Raises:
        WeightsError: a source is missing, or together they are no checkpoint.
    """
    folder.mkdir(parents=True)
    if sources.weights.is_dir():
        if sources.base is not None:
            _lay_out(sources.base, folder)
        _lay_out(sources.weights, folder)
    elif not sources.weights.is_file():
        raise WeightsError(f"{sources.weights}: no such file or folder, expected Wan weights")
    elif sources.base is None:
        raise WeightsError(
            f"{sources.weights}: one file, expected engine.base too: the folder that it was "
            "trained from, for its configuration, text encoder and autoencoder"
        )
    else:
        _lay_out(sources.base, folder)
        _replace(folder / "transformer", sources.weights)
    if sources.weights_2 is not None:
        _replace(folder / "transformer_2", sources.weights_2)
    _check_parts(sources, folder)
    _add_loras(sources.loras, folder)


def _lay_out(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise WeightsError(f"{source}: no such folder, expected a Wan checkpoint")
    if (source / INDEX).is_file():
        for entry in source.iterdir():
            if entry.is_dir():
                _link_part([*entry.iterdir()], folder / entry.name)
        _link_all([entry for entry in source.iterdir() if entry.is_file()], folder)
    elif any((source / name / "config.json").is_file() for name in (*EXPERTS.values(), ".")):
        _lay_out_original(source, folder)
    else:
        raise WeightsError(
            f"{source}: got neither {INDEX} (diffusers) nor config.json (as published), expected "
            "a Wan checkpoint"
        )


def _lay_out_original(source: Path, folder: Path) -> None:
    configs = {}
    has_experts = (source / EXPERTS["transformer"]).is_dir()
    for part, name in EXPERTS.items() if has_experts else [("transformer", ".")]:
        published = source / name
        files = weight_files(published, STEM)
        config = JsonFile.read(published / "config.json")
        configs[part] = transformer_config(config, files)
        _link_part([*files, *published.glob(f"{STEM}*.index.json")], folder / part)
        _write(folder / part / "config.json", configs[part])
    for vae in _only(source, "Wan*_VAE"):
        _clear(folder / "vae")
        _link(vae, folder / "vae" / f"{STEM}{vae.suffix}")
        _write(folder / "vae" / "config.json", vae_config(vae))
    for text in _only(source, "models_t5_*"):
        _clear(folder / "text_encoder")
        stem = "model" if text.suffix == SAFETENSORS else "pytorch_model"
        _link(text, folder / "text_encoder" / f"{stem}{text.suffix}")
        _write(folder / "text_encoder" / "config.json", text_encoder_config(text))
    for clip in _only(source, "models_clip_*"):
        _lay_out_clip(clip, folder)
    if (source / "google" / "umt5-xxl").is_dir():
        _link_part([*(source / "google" / "umt5-xxl").iterdir()], folder / "tokenizer")
    _link_all([*source.glob("nightreel.json")], folder)
    _write_index(folder, configs["transformer"], has_experts=has_experts)


def _lay_out_clip(clip: Path, folder: Path) -> None:
    for part in ("image_encoder", "image_processor"):
        _clear(folder / part)
    stem = "model" if clip.suffix == SAFETENSORS else "pytorch_model"
    config = image_encoder_config(clip)
    _link(clip, folder / "image_encoder" / f"{stem}{clip.suffix}")
    _write(folder / "image_encoder" / "config.json", config)
    processor = image_processor_config(config)
    _write(folder / "image_processor" / "preprocessor_config.json", processor)


def _write_index(folder: Path, transformer: Mapping[str, Any], *, has_experts: bool) -> None:
    takes_image = transformer["in_channels"] > transformer["out_channels"]
    index: dict[str, Any] = {
        "_class_name": "WanImageToVideoPipeline" if takes_image else "WanPipeline"
    }
    if has_experts:
        index["boundary_ratio"] = BOUNDARY_RATIOS[takes_image]
    vae = folder / "vae" / "config.json"
    if vae.is_file() and JsonFile.read(vae).values.get("is_residual"):
        index["expand_timesteps"] = True
    _write(folder / INDEX, index)
    shift = T2V_EXPERTS_FLOW_SHIFT if has_experts and not takes_image else FLOW_SHIFT
    scheduler = {"_class_name": "UniPCMultistepScheduler", "flow_shift": shift}
    _write(folder / "scheduler" / "scheduler_config.json", scheduler)


def _replace(part: Path, file: Path) -> None:
    """Give a network other weights than its own."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such file, expected the weights of a transformer")
    if file.suffix not in {SAFETENSORS, *TORCH_SUFFIXES}:
        expected = ", ".join((SAFETENSORS, *TORCH_SUFFIXES))
        raise WeightsError(f"{file}: got {file.suffix!r}, expected {expected}")
    if not (part / "config.json").is_file():
        raise WeightsError(f"{file}: engine.base has no {part.name} that these could be weights of")
    for own in part.glob(f"{STEM}*"):
        own.unlink()
    _link(file, part / f"{STEM}{file.suffix}")


def _check_parts(sources: Sources, folder: Path) -> None:
    transformer = JsonFile.read(folder / "transformer" / "config.json")
    needed = ["vae", *TEXT_PARTS]
    if transformer.values.get("image_dim") is not None:
        needed.append("image_encoder")
    missing = [part for part in needed if not (folder / part).is_dir()]
    if missing:
        raise WeightsError(
            f"{sources.weights}: got no {', '.join(missing)}, expected them there (see the "
            "layouts that are taken) or in engine.base"
        )


def _add_loras(loras: Sequence[LoraFile], folder: Path) -> None:
    entries: dict[str, list[dict[str, Any]]] = {
        part: [] for part in TRANSFORMERS if (folder / part).is_dir()
    }
    for number, lora in enumerate(loras):
        if not lora.path.is_file():
            raise WeightsError(f"{lora.path}: no such file, expected a LoRA")
        part = {"": "", "high": "transformer", "low": "transformer_2"}[lora.expert]
        if part and len(entries) < 2:
            raise WeightsError(
                f"{lora.path}: meant for the {lora.expert}-noise expert, expected two experts"
            )
        for into in [part] if part else list(entries):
            name = f"{LORA_STEM}{number}{lora.path.suffix}"
            _link(lora.path, folder / into / name)
            entries[into].append({"file": name, "scale": lora.scale})
    for part, named in entries.items():
        if named:
            _write(folder / part / LORAS, {"loras": named})


def _only(folder: Path, pattern: str) -> list[Path]:
    found = [
        path
        for suffix in (SAFETENSORS, *TORCH_SUFFIXES)
        for path in sorted(folder.glob(f"{pattern}{suffix}"))
    ]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise WeightsError(f"{folder}: got {names}, expected one {pattern}")
    return found


def _link_part(paths: Sequence[Path], folder: Path) -> None:
    """Links in place of whatever a base has there: two sets of weights must not mix."""
    _clear(folder)
    _link_all(paths, folder)


def _clear(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()


def _link_all(paths: Sequence[Path], folder: Path) -> None:
    for path in paths:
        _link(path, folder / path.name)


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(path.absolute())


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")
