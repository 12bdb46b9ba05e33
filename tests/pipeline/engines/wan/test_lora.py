"""Low-rank changes, by every trainer's names, are ``W + scale * alpha / rank * B A``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_wan_lora_to_diffusers
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import save_file

from pipeline.engines.wan.modules import load_transformer
from pipeline.engines.wan.published_names import TRANSFORMER
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    Tensors = dict[str, Tensor]

STEM = "diffusion_pytorch_model.safetensors"
CPU = torch.device("cpu")
RANK, ALPHA, SCALE = 3, 6.0, 0.7
MODULES = (
    *(f"blocks.{i}.attn1.{name}" for i in range(2) for name in ("to_q", "to_out.0")),
    *("blocks.0.attn2.to_k", "blocks.1.ffn.net.0.proj", "blocks.1.ffn.net.2", "patch_embedding"),
    *("condition_embedder.time_proj", "proj_out"),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensors]:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        text_dim=8,
        freq_dim=8,
        ffn_dim=16,
        num_layers=2,
    )
    model.save_config(folder)
    save_file(model.state_dict(), folder / STEM)
    return folder, model.state_dict()


@pytest.fixture(scope="module")
def factors(base: tuple[Path, Tensors]) -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    made = {}
    for module in MODULES:
        outputs, *inputs = base[1][f"{module}.weight"].shape
        down = torch.randn(RANK, *inputs, generator=generator)
        ones = [1] * (len(inputs) - 1)
        made[module] = down, torch.randn(outputs, RANK, *ones, generator=generator)
    return made


def load_with(folder: Path, *loras: tuple[Tensors, float], dtype: Any = torch.float32) -> Tensors:
    entries = []
    for number, (tensors, scale) in enumerate(loras):
        save_file(tensors, folder / f"lora-{number}.safetensors")
        entries.append({"file": f"lora-{number}.safetensors", "scale": scale})
    (folder / "loras.json").write_text(json.dumps({"loras": entries}))
    tensors: Tensors = load_transformer(folder, CPU, dtype).state_dict()
    return tensors


@pytest.fixture
def folder(base: tuple[Path, Tensors], tmp_path: Path) -> Path:
    for name in (STEM, "config.json"):
        (tmp_path / name).symlink_to(base[0] / name)
    return tmp_path


def published(module: str) -> str:
    name = TRANSFORMER.published(module)
    assert name is not None
    return name


def named(module_name: Callable[[str], str], down: str, up: str, *, alpha: bool) -> Any:
    def tensors(factors: dict[str, tuple[Tensor, Tensor]]) -> Tensors:
        made: Tensors = {}
        for module, (down_RI, up_OR) in factors.items():
            name = module_name(module)
            made[f"{name}.{down}"], made[f"{name}.{up}"] = down_RI, up_OR
            if alpha:
                made[f"{name}.alpha"] = torch.tensor(ALPHA)
        return made

    return tensors


NAMINGS = {
    "diffusers": named(lambda m: f"transformer.{m}", "lora_A.weight", "lora_B.weight", alpha=False),
    "older diffusers": named(
        lambda m: f"transformer.{m}", "lora.down.weight", "lora.up.weight", alpha=False
    ),
    "peft": named(
        lambda m: f"base_model.model.{m}",
        "lora_A.default.weight",
        "lora_B.default.weight",
        alpha=False,
    ),
    "peft without prefix": named(str, "lora_A.weight", "lora_B.weight", alpha=False),
    "published": named(
        lambda m: f"diffusion_model.{published(m)}", "lora_A.weight", "lora_B.weight", alpha=False
    ),
    "ComfyUI": named(
        lambda m: f"diffusion_model.{published(m)}",
        "lora_down.weight",
        "lora_up.weight",
        alpha=True,
    ),
    "kohya": named(
        lambda m: "lora_unet_" + published(m).replace(".", "_"),
        "lora_down.weight",
        "lora_up.weight",
        alpha=True,
    ),
}


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=NAMINGS)
def test_every_naming_is_the_same_sum(
    base: tuple[Path, Tensors],
    folder: Path,
    factors: dict[str, tuple[Tensor, Tensor]],
    naming: Any,
) -> None:
    tensors = naming(factors)
    has_alpha = any(name.endswith(".alpha") for name in tensors)
    weight = SCALE * (ALPHA / RANK if has_alpha else 1.0)
    found = load_with(folder, (tensors, SCALE))
    for name, before in base[1].items():
        module = name.removesuffix(".weight")
        if module in factors and name.endswith(".weight"):
            down_RI, up_OR = (factor.double().flatten(1) for factor in factors[module])
            expected = before.double() + weight * (up_OR @ down_RI).reshape(before.shape)
            torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-5)
            assert not torch.equal(found[name], before)
        else:
            assert torch.equal(found[name], before), name


def test_numbers_are_those_that_diffusers_and_peft_would_add(
    base: tuple[Path, Tensors], folder: Path, factors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    """diffusers' own conversion of the published names, then peft's ``W + scale * B A``."""
    # diffusers reads no alpha for the modules outside the blocks.
    blocks = {k: v for k, v in factors.items() if k.startswith("blocks.")}
    tensors = NAMINGS["ComfyUI"](blocks)
    name = f"diffusion_model.{published('blocks.0.attn1.to_q')}"
    tensors[f"{name}.diff_b"] = torch.linspace(-1, 1, 24)
    # It scales some of what it is given in place.
    copies = {key: tensor.clone() for key, tensor in tensors.items()}
    theirs = _convert_non_diffusers_wan_lora_to_diffusers(copies)
    found = load_with(folder, (tensors, SCALE))
    for module in blocks:
        down, up = (theirs[f"transformer.{module}.lora_{half}.weight"] for half in "AB")
        expected = base[1][f"{module}.weight"] + SCALE * (up @ down)
        torch.testing.assert_close(found[f"{module}.weight"], expected, rtol=1e-5, atol=1e-5)
    bias = theirs["transformer.blocks.0.attn1.to_q.lora_B.bias"]
    expected = base[1]["blocks.0.attn1.to_q.bias"] + SCALE * bias
    torch.testing.assert_close(found["blocks.0.attn1.to_q.bias"], expected)


def test_whole_changes_reach_norms_and_tables_too(base: tuple[Path, Tensors], folder: Path) -> None:
    tensors = {
        "diffusion_model.blocks.0.norm3.diff": torch.ones(24),
        "diffusion_model.blocks.0.norm3.diff_b": torch.full((24,), 2.0),
        "diffusion_model.blocks.1.modulation.diff": torch.full((1, 6, 24), 3.0),
        "diffusion_model.patch_embedding.diff": torch.full((24, 16, 1, 2, 2), 4.0),
    }
    found = load_with(folder, (tensors, 0.5))
    changed = {name: float((found[name] - base[1][name]).mean()) for name in found}
    assert {k: round(v, 4) for k, v in changed.items() if v} == {
        "blocks.0.norm2.weight": 0.5,
        "blocks.0.norm2.bias": 1.0,
        "blocks.1.scale_shift_table": 1.5,
        "patch_embedding.weight": 2.0,
    }


def test_several_files_add_up_before_they_are_rounded(
    base: tuple[Path, Tensors], folder: Path, factors: dict[str, tuple[Tensor, Tensor]]
) -> None:
    tensors = NAMINGS["diffusers"](factors)
    twice = load_with(folder, (tensors, 0.25), (tensors, 0.5))
    once = load_with(folder, (tensors, 0.75))
    for name in base[1]:
        torch.testing.assert_close(twice[name], once[name], rtol=1e-5, atol=1e-5)
    half = load_with(folder, (tensors, 0.75), dtype=torch.bfloat16)
    name = "blocks.0.attn1.to_q.weight"
    assert torch.equal(half[name], once[name].bfloat16())
    nothing = load_with(folder, (tensors, 0.0))
    assert all(torch.equal(nothing[name], base[1][name]) for name in base[1])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lora_te1_text.lora_down.weight": torch.ones(1, 1)}, r"unknown tensors \['lora_te1_text"),
        (
            {f"transformer.blocks.7{i}.attn1.to_q.lora_A.weight": torch.ones(1) for i in range(9)},
            "and 1 more of 9, expected low-rank changes",
        ),
        ({"blocks.0.attn1.to_q.dora_scale": torch.ones(1)}, r"dora_scale'\] of 1"),
        (
            {"blocks.0.attn1.to_q.lora_A.weight": torch.ones(1, 24)},
            r"one of two factors for \['blocks.0.attn1.to_q'\]",
        ),
        (
            {"proj_out.diff": torch.ones(3, 3)},
            r"a change of \[3, 3\] for proj_out.weight, expected \[64, 24\]",
        ),
        ({"blocks.0.attn1.norm_q.diff_b": torch.ones(24)}, r"not there: \['blocks.0.attn1.norm_q"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, tensors: Tensors, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        load_with(folder, (tensors, 1.0))
    assert "lora-0.safetensors" in str(caught.value)
