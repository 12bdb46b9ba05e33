"""CLIP in the layout of the original repositories: names, numbers, and a folder as published."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import load_file
from torch.nn import functional
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from pipeline.engines.wan.assembly import STEM, Sources, assemble
from pipeline.engines.wan.engine import WanEngine
from pipeline.engines.wan.json_file import JsonFile
from pipeline.engines.wan.published_clip import CLIP, clip_tensors, is_published
from pipeline.engines.wan.published_names import TEXT_ENCODER, TRANSFORMER, vae_names
from pipeline.engines.wan.tensor_files import stored_tensors
from pipeline.engines.wan.vision import ImageTower
from pipeline.errors import WeightsError
from tests.pipeline.engines.wan.test_key_layouts import as_published, same
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    Tensors = dict[str, Tensor]

FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
# Two heads as wide as the published ones; a picture of three by three patches.
WIDTH, HEADS, PATCH_PX, SIDE_PX, LAYERS = 160, 2, 14, 42, 3
# Names as the file that was published has them, one of each kind.
PUBLISHED = {
    *("visual.cls_embedding", "visual.pos_embedding", "visual.patch_embedding.weight"),
    *("visual.pre_norm.weight", "visual.post_norm.bias", "visual.transformer.0.norm1.weight"),
    *("visual.transformer.1.attn.to_qkv.weight", "visual.transformer.2.attn.to_qkv.bias"),
    *("visual.transformer.0.attn.proj.weight", "visual.transformer.1.norm2.bias"),
    *("visual.transformer.2.mlp.0.weight", "visual.transformer.0.mlp.2.bias"),
}


@pytest.fixture(scope="module")
def canonical() -> Tensors:
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tensors: Tensors = CLIPVisionModel(config).state_dict()
        return {name: torch.randn(tensor.shape) * 0.2 for name, tensor in tensors.items()}


def as_wan_has_it(canonical: Tensors) -> Tensors:
    """One file of both towers, with query, key and value as one."""
    tensors = dict(canonical)
    for name in list(tensors):
        if ".q_proj." in name:
            parts = [tensors.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
            tensors[name.replace(".q_proj.", ".to_qkv.")] = torch.cat(parts)
    tensors["embeddings.class_embedding"] = tensors["embeddings.class_embedding"][None, None]
    positions = "embeddings.position_embedding.weight"
    tensors[positions] = tensors[positions][None]
    others = {
        "visual.head": torch.zeros(WIDTH, 8),
        "textual.norm.weight": torch.zeros(4),
        "log_scale": torch.zeros(()),
    }
    return {**as_published(tensors, CLIP), **others}


def test_names_are_the_published_ones_and_go_back(canonical: Tensors, tmp_path: Path) -> None:
    torch.save(as_wan_has_it(canonical), tmp_path / FILE)
    stored = stored_tensors(tmp_path / FILE)
    assert {tensor.name for tensor in stored} >= PUBLISHED
    assert is_published(stored)
    expected = {name: tuple(tensor.shape) for name, tensor in canonical.items()}
    assert same(dict(clip_tensors(stored, expected)), canonical)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.pre_norm.bias": None}, r"missing tensors \['pre_layrnorm.bias'\]"),
        ({"visual.transformer.0.gate": torch.zeros(1)}, r"unknown \['visual.transformer.0.gate'\]"),
        (
            {"visual.pos_embedding": torch.zeros(1, 9, WIDTH)},
            r"another shape: .*position_embedding",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    canonical: Tensors, tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    tensors = {**as_wan_has_it(canonical), **change}
    torch.save({k: v for k, v in tensors.items() if v is not None}, tmp_path / FILE)
    expected = {name: tuple(tensor.shape) for name, tensor in canonical.items()}
    with pytest.raises(WeightsError, match=message):
        dict(clip_tensors(stored_tensors(tmp_path / FILE), expected))


def wans_own(tensors: Tensors, shown_BCHW: Tensor) -> Tensor:
    """Wan's own forward without the last block, by the names of its file (``use_31_block``)."""

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-5
        )

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    patches = functional.conv2d(
        shown_BCHW, tensors["visual.patch_embedding.weight"], stride=PATCH_PX
    )
    x = torch.cat([tensors["visual.cls_embedding"], patches.flatten(2).transpose(1, 2)], dim=1)
    x = norm(x + tensors["visual.pos_embedding"], "visual.pre_norm")
    for layer in range(LAYERS - 1):
        block = f"visual.transformer.{layer}"
        fused = linear(norm(x, f"{block}.norm1"), f"{block}.attn.to_qkv")
        query, key, value = fused.view(1, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        x = x + linear(seen.transpose(1, 2).flatten(2), f"{block}.attn.proj")
        inner = functional.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.0"))
        x = x + linear(inner, f"{block}.mlp.2")
    return x[0]


@pytest.fixture(scope="module")
def original(canonical: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Wan 2.1 image-to-video as its original repository lays it out."""
    root = tmp_path_factory.mktemp("published")
    tiny = make_tiny_wan(root / "tiny", layout="2.1-i2v")
    folder = root / "original"
    sizes = {"dim": 24, "ffn_dim": 48, "freq_dim": 32, "in_dim": 36, "num_heads": 2}
    config = {"model_type": "i2v", "num_layers": 1, "out_dim": 16, "eps": 1e-6}
    (folder / "google").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | sizes))
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=36,
        text_dim=24,
        freq_dim=32,
        ffn_dim=48,
        num_layers=1,
        image_dim=WIDTH,
        added_kv_proj_dim=24,
    )
    torch.save(as_published(transformer.state_dict(), TRANSFORMER), folder / f"{STEM}.pth")
    vae = AutoencoderKLWan(base_dim=4)
    table = vae_names(JsonFile(folder, dict(vae.config)))
    torch.save(as_published(vae.state_dict(), table), folder / "Wan2.1_VAE.pth")
    text = load_file(tiny / "text_encoder" / "model.safetensors")
    torch.save(as_published(text, TEXT_ENCODER), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    torch.save(as_wan_has_it(canonical), folder / FILE)
    shutil.copytree(tiny / "tokenizer", folder / "google" / "umt5-xxl")
    shutil.copy(tiny / "nightreel.json", folder)
    return folder


def test_an_image_to_video_folder_as_published_needs_nothing_else(
    original: Path, canonical: Tensors, tmp_path: Path
) -> None:
    folder = tmp_path / "assembled"
    assemble(Sources(weights=original), folder)
    engine = WanEngine.load(folder, device="cpu", dtype=torch.float32)
    assert engine.spec.image == "channels"
    with engine._networks.image_tower() as tower:
        assert isinstance(tower, ImageTower)
    assert same(tower._encoder.state_dict(), canonical)
    pixels_HWC = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    embeds_SD = tower.encode(pixels_HWC)
    processed = tower._processor(images=[pixels_HWC], return_tensors="pt")
    shown_BCHW = processed["pixel_values"]
    assert shown_BCHW.shape == (1, 3, SIDE_PX, SIDE_PX)
    expected_SD = wans_own(as_wan_has_it(canonical), shown_BCHW)
    assert embeds_SD.shape == (10, WIDTH)
    assert (embeds_SD - expected_SD).norm() < 1e-5 * expected_SD.norm()


def test_without_its_clip_the_folder_says_so(original: Path, tmp_path: Path) -> None:
    part = shutil.copytree(original, tmp_path / "part")
    (part / FILE).unlink()
    with pytest.raises(WeightsError, match="got no image_encoder"):
        assemble(Sources(weights=part), tmp_path / "assembled")
