"""Every published layout of names becomes one canonical state dictionary, and goes back."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_wan_transformer_to_diffusers,
    convert_wan_vae_to_diffusers,
)
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.modules import load_text_encoder, load_transformer, load_vae
from pipeline.engines.wan.published_names import TEXT_ENCODER, TRANSFORMER, vae_names
from pipeline.engines.wan.weights import weight_files
from pipeline.engines.wan.wrappers import unwrapped
from pipeline.errors import WeightsError
from tests.pipeline.engines.wan.inside import text_encoder_of, transformer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.wan.name_table import NameTable

    Tensors = dict[str, Tensor]
    Wrap = Callable[[Tensors], dict[str, Any]]

STEM = "diffusion_pytorch_model"
CPU = torch.device("cpu")
# Names as the files that were published have them, one of each kind.
PUBLISHED_TRANSFORMER = (
    *("patch_embedding.weight", "patch_embedding.bias", "text_embedding.0.weight"),
    *("text_embedding.2.bias", "time_embedding.0.weight", "time_embedding.2.bias"),
    *("time_projection.1.weight", "head.head.weight", "head.modulation"),
    *("blocks.0.modulation", "blocks.1.self_attn.q.weight", "blocks.1.self_attn.o.bias"),
    *("blocks.0.self_attn.norm_q.weight", "blocks.0.norm3.weight", "blocks.0.norm3.bias"),
    *("blocks.0.cross_attn.k.weight", "blocks.0.cross_attn.norm_k.weight"),
    *("blocks.0.ffn.0.weight", "blocks.1.ffn.2.bias"),
)
PUBLISHED_IMAGE = (
    *("img_emb.proj.0.weight", "img_emb.proj.1.bias", "img_emb.proj.3.weight"),
    *("img_emb.proj.4.bias", "blocks.0.cross_attn.k_img.weight"),
    *("blocks.1.cross_attn.v_img.bias", "blocks.0.cross_attn.norm_k_img.weight"),
)
PUBLISHED_VAE = (
    *("conv1.weight", "conv2.bias", "encoder.conv1.weight", "decoder.conv1.bias"),
    *("encoder.downsamples.0.residual.0.gamma", "encoder.downsamples.2.resample.1.weight"),
    *("encoder.downsamples.3.shortcut.weight", "encoder.downsamples.5.time_conv.weight"),
    *("encoder.middle.0.residual.6.weight", "encoder.middle.1.to_qkv.weight"),
    *("encoder.head.0.gamma", "decoder.head.2.bias", "decoder.middle.2.residual.3.gamma"),
    *("decoder.upsamples.3.resample.1.weight", "decoder.upsamples.3.time_conv.bias"),
    *("decoder.upsamples.4.shortcut.weight", "decoder.upsamples.14.residual.6.bias"),
)
PUBLISHED_VAE_22 = (
    *("encoder.downsamples.0.downsamples.0.residual.0.gamma", "conv1.weight"),
    *("encoder.downsamples.0.downsamples.2.resample.1.weight",),
    *("encoder.downsamples.1.downsamples.2.time_conv.weight",),
    *("encoder.downsamples.1.downsamples.0.shortcut.weight",),
    *("decoder.upsamples.0.upsamples.3.time_conv.weight",),
    *("decoder.upsamples.2.upsamples.0.shortcut.bias",),
    *("decoder.upsamples.3.upsamples.2.residual.6.weight",),
)
PUBLISHED_T5 = (
    *("token_embedding.weight", "norm.weight", "blocks.0.norm1.weight", "blocks.1.norm2.weight"),
    *("blocks.0.attn.q.weight", "blocks.0.attn.o.weight", "blocks.1.ffn.gate.0.weight"),
    *("blocks.1.ffn.fc1.weight", "blocks.0.ffn.fc2.weight"),
    *("blocks.1.pos_embedding.embedding.weight",),
)


def tiny_transformer(*, image: bool) -> WanTransformer3DModel:
    sizes = {"image_dim": 8, "added_kv_proj_dim": 24, "in_channels": 36} if image else {}
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=8,
        freq_dim=8,
        ffn_dim=8,
        num_layers=2,
        **sizes,
    )


def tiny_vae(*, residual: bool) -> AutoencoderKLWan:
    sizes: dict[str, Any] = (
        {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
        if residual
        else {}
    )
    return AutoencoderKLWan(base_dim=4, scale_factor_spatial=16 if residual else 8, **sizes)


def vae_table(vae: AutoencoderKLWan, tmp_path: Path) -> NameTable:
    return vae_names(JsonFile(tmp_path, dict(vae.config)))


def as_published(tensors: Tensors, table: NameTable) -> Tensors:
    return {table.published(name) or name: tensor for name, tensor in tensors.items()}


def same(ours: Tensors, theirs: Tensors) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def check_table(table: NameTable, canonical: Tensors, published: tuple[str, ...]) -> Tensors:
    """There and back; the names that were published are among those that come out."""
    there = as_published(canonical, table)
    assert len(there) == len(canonical)
    assert set(published) <= set(there)
    assert table.is_published(there)
    assert not table.is_published(canonical)
    back = {table.canonical(name) or name: tensor for name, tensor in there.items()}
    assert same(back, canonical)
    return there


@pytest.mark.parametrize("image", [False, True])
def test_transformer_names_are_those_that_diffusers_converts(image: bool) -> None:
    canonical = tiny_transformer(image=image).state_dict()
    published = PUBLISHED_TRANSFORMER + (PUBLISHED_IMAGE if image else ())
    there = check_table(TRANSFORMER, canonical, published)
    assert same(convert_wan_transformer_to_diffusers(dict(there)), canonical)


def test_vae_names_are_those_that_diffusers_converts(tmp_path: Path) -> None:
    vae = tiny_vae(residual=False)
    there = check_table(vae_table(vae, tmp_path), vae.state_dict(), PUBLISHED_VAE)
    assert same(convert_wan_vae_to_diffusers(dict(there)), vae.state_dict())


def test_residual_vae_names(tmp_path: Path) -> None:
    vae = tiny_vae(residual=True)
    check_table(vae_table(vae, tmp_path), vae.state_dict(), PUBLISHED_VAE_22)


def test_text_encoder_names() -> None:
    config = UMT5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=6, num_layers=2, num_heads=2)
    canonical = UMT5EncoderModel(config).state_dict()
    del canonical["encoder.embed_tokens.weight"]
    check_table(TEXT_ENCODER, canonical, PUBLISHED_T5)


def prefixed(prefix: str) -> Wrap:
    return lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def inside(marker: str) -> Wrap:
    """A marker where trainers put it: around the model, around blocks and their parts."""

    def wrap(tensors: Tensors) -> dict[str, Any]:
        wrapped = {re.sub(r"(blocks\.\d+\.)", rf"\1{marker}", k): v for k, v in tensors.items()}
        return {f"{marker}{name}": tensor for name, tensor in wrapped.items()}

    return wrap


def both_nets(tensors: Tensors) -> dict[str, Any]:
    last = {f"net.{name}": torch.zeros_like(tensor) for name, tensor in tensors.items()}
    return last | {f"net_ema.{name}": tensor for name, tensor in tensors.items()}


def self_forcing(tensors: Tensors) -> dict[str, Any]:
    """``generator_ema`` is what counts, beside other weights of a training."""
    generator = {f"model.{name}": torch.zeros_like(t) for name, t in tensors.items()}
    averaged = {f"model._fsdp_wrapped_module.{name}": tensor for name, tensor in tensors.items()}
    return {"generator": generator, "critic": generator, "generator_ema": averaged}


def flattened(tensors: Tensors) -> dict[str, Any]:
    return tensors | {"patch_embedding.weight": tensors["patch_embedding.weight"].flatten(1)}


WRAPS: dict[str, Wrap] = {
    **{name or "plain": prefixed(name) for name in ("", "model.", "net.", "net_ema.")},
    "ComfyUI": prefixed("model.diffusion_model."),
    "FSDP": inside("_fsdp_wrapped_module."),
    "checkpoint wrapper": inside("_checkpoint_wrapped_module."),
    "compiled": inside("_orig_mod."),
    "FSDP in model, compiled in FSDP": lambda t: prefixed("model.")(
        inside("_fsdp_wrapped_module._orig_mod.")(t)
    ),
    "net_ema beside net": both_nets,
    "generator_ema": self_forcing,
    "generator": lambda tensors: {"generator": prefixed("model.")(tensors)},
    "state_dict": lambda tensors: {"state_dict": prefixed("model.")(tensors)},
    "2-D patch embedding": flattened,
    "2-D patch embedding of a training": lambda t: prefixed("net.")(flattened(t)),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensors]:
    """A transformer's folder without weights, and its canonical state dictionary."""
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_transformer(image=False)
    model.save_config(folder)
    return folder, model.state_dict()


@pytest.mark.parametrize("is_published", [True, False], ids=["published", "canonical"])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_every_layout_loads_to_one_state_dictionary(
    tiny: tuple[Path, Tensors], tmp_path: Path, wrap: Wrap, is_published: bool
) -> None:
    folder, canonical = tiny
    shutil.copy(folder / "config.json", tmp_path)
    names = as_published(canonical, TRANSFORMER) if is_published else dict(canonical)
    torch.save(wrap(names), tmp_path / f"{STEM}.pth")
    model = load_transformer(tmp_path, CPU, torch.float32)
    assert same(model.state_dict(), canonical)


def test_one_name_from_two_is_an_error() -> None:
    with pytest.raises(WeightsError, match=r"expected 'a' once"):
        unwrapped(["_orig_mod.a", "a"])


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(folders["2.1"], tmp_path / "copy")


def whole(copy: Path) -> tuple[Path, Tensors]:
    path = copy / "transformer" / f"{STEM}.safetensors"
    return path, load_file(path)


def test_a_checkpoint_of_published_files_gives_the_same_engine(copy: Path) -> None:
    before = WanEngine.load(copy, device="cpu", dtype=torch.float32)
    tables = {
        "transformer": (TRANSFORMER, STEM, STEM),
        "vae": (vae_names(JsonFile.read(copy / "vae" / "config.json")), STEM, STEM),
        "text_encoder": (TEXT_ENCODER, "model", "pytorch_model"),
    }
    for name, (table, stem, torch_stem) in tables.items():
        path = copy / name / f"{stem}.safetensors"
        torch.save(as_published(load_file(path), table), copy / name / f"{torch_stem}.pth")
        path.unlink()
    for loaded in (
        load_transformer(copy / "transformer", CPU, torch.float32),
        load_vae(copy / "vae", CPU),
        load_text_encoder(copy / "text_encoder", CPU, torch.float32),
    ):
        stock = {
            "WanTransformer3DModel": transformer_of(before),
            "AutoencoderKLWan": before._networks.vae,
            "UMT5EncoderModel": text_encoder_of(before),
        }[type(loaded).__name__]
        assert same(loaded.state_dict(), stock.state_dict())


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_shards_of_both_kinds(copy: Path, suffix: str) -> None:
    path, tensors = whole(copy)
    path.unlink()
    names = sorted(as_published(tensors, TRANSFORMER).items())
    weight_map = {}
    for number in range(3):
        shard = f"{STEM}-{number + 1:05d}-of-00003{suffix}"
        part = dict(names[number::3])
        weight_map |= dict.fromkeys(part, shard)
        save = save_file if suffix == ".safetensors" else torch.save
        save(part, path.parent / shard)
    index = path.parent / f"{STEM}{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert len(weight_files(path.parent, STEM)) == 3
    assert same(load_transformer(path.parent, CPU, torch.float32).state_dict(), tensors)
    torch.save({"head.head.bias": tensors["proj_out.bias"]}, path.parent / "more.bin")
    index.write_text(json.dumps({"weight_map": weight_map | {"more": "more.bin"}}))
    with pytest.raises(WeightsError, match=r"several files: \['head.head.bias'\]"):
        load_transformer(path.parent, CPU, torch.float32)


def test_an_older_torch_file_is_read_too(copy: Path) -> None:
    path, tensors = whole(copy)
    path.unlink()
    torch.save(tensors, path.with_suffix(".pt"), _use_new_zipfile_serialization=False)
    assert same(load_transformer(path.parent, CPU, torch.float32).state_dict(), tensors)


class Trap:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": Trap()}, "as a torch file of tensors alone"),
        ({"a": torch.zeros(1), "steps": 3}, r"got \['steps'\], expected nothing but tensors"),
        ({}, "and some"),
        ([torch.zeros(1)], "got list, expected names and tensors"),
    ],
)
def test_torch_files_hold_tensors_alone(
    copy: Path, content: object, message: str, legacy: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = whole(copy)
    path.unlink()
    torch.save(content, path.with_suffix(".pth"), _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=message) as caught:
        load_transformer(path.parent, CPU, torch.float32)
    assert f"{STEM}.pth" in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("data", [b"", b"not a torch file", b"PK\x05\x06" + bytes(18)])
def test_damaged_torch_files_are_named(copy: Path, data: bytes) -> None:
    path, _ = whole(copy)
    path.unlink()
    path.with_suffix(".pth").write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{STEM}\.pth: can't be read"):
        load_transformer(path.parent, CPU, torch.float32)


def test_missing_extra_and_misshapen_names_are_listed_with_their_number(copy: Path) -> None:
    path, tensors = whole(copy)
    names = as_published(tensors, TRANSFORMER)
    for name in [name for name in names if name.startswith("blocks.1.")]:
        del names[name]
    names |= {f"blocks.0.self_attn.extra.{i}": torch.zeros(1) for i in range(11)}
    save_file(names, path)
    missing = sum(name.startswith("blocks.1.") for name in tensors)
    with pytest.raises(WeightsError) as caught:
        load_transformer(path.parent, CPU, torch.float32)
    text = str(caught.value)
    assert "missing tensors ['blocks.1.attn1.norm_k.weight', " in text
    assert f"and {missing - 8} more; unknown ['blocks.0.self_attn.extra.0', " in text
    assert text.endswith("and 3 more")
    assert str(path) in text
    wrong = as_published(tensors, TRANSFORMER) | {"head.head.bias": torch.zeros(3)}
    save_file(wrong | {"patch_embedding.weight": torch.zeros(24, 63)}, path)
    with pytest.raises(WeightsError, match=r"patch_embedding.weight \(got \[24, 63\].*proj_out"):
        load_transformer(path.parent, CPU, torch.float32)
