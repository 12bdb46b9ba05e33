"""What ``Engine`` promises beyond the right numbers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline.engines import wan
from pipeline.engines.protocol import NoiseLevel
from pipeline.engines.wan.engine import WanEngine
from tests.pipeline.engines.wan.inside import transformer_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from pipeline.engines.protocol import Engine

LEVEL = NoiseLevel(sigma=0.8, timestep=800.0)


@pytest.fixture(scope="module")
def window(engine: WanEngine) -> Tensor:
    shape = engine.spec.latent_shape(engine.spec.width, engine.spec.height)
    return torch.randn(9, *shape, generator=torch.Generator().manual_seed(5))


def misaligned(tensor: Tensor) -> Tensor:
    """The same values, starting one float into their storage."""
    return torch.cat([torch.zeros(1), tensor.flatten()])[1:].view(tensor.shape)


def test_registry_functions_make_an_engine(folder: Path, engine: WanEngine) -> None:
    loaded: Engine = wan.load(folder, torch.device("cpu"), torch.float32)
    assert isinstance(loaded, WanEngine)
    assert loaded.spec == engine.spec == wan.spec(folder)


def test_prediction_is_plain_and_leaves_its_input_alone(engine: WanEngine, window: Tensor) -> None:
    before = window.clone()
    (prompt_SD,) = engine.encode_prompts(["a red ball"])
    for num_latent_frames in (1, 4, 9):
        velocity = engine.predict(window[:num_latent_frames], LEVEL, prompt_SD)
        assert velocity.shape == window[:num_latent_frames].shape
        assert (velocity.dtype, velocity.device.type) == (torch.float32, "cpu")
        assert velocity.is_contiguous()
        assert not velocity.requires_grad
        assert not velocity.is_inference()
    assert torch.equal(window, before)


def test_same_window_same_bits_wherever_it_lies(engine: WanEngine, window: Tensor) -> None:
    (prompt_SD,) = engine.encode_prompts(["a red ball"])
    expected = engine.predict(window, LEVEL, prompt_SD)
    places = [
        (window, prompt_SD),
        (misaligned(window), misaligned(prompt_SD)),
        (window.transpose(0, 1).contiguous().transpose(0, 1), prompt_SD),
    ]
    for latents, embeds in places:
        assert torch.equal(engine.predict(latents, LEVEL, embeds), expected)


def test_prediction_depends_on_all_it_is_given(engine: WanEngine, window: Tensor) -> None:
    one_SD, other_SD = engine.encode_prompts(["a red ball rolls", "rain on the city"])
    base = engine.predict(window, LEVEL, one_SD)
    changed = window.clone()
    changed[-1] = -changed[-1]
    others = {
        "prompt": engine.predict(window, LEVEL, other_SD),
        "level": engine.predict(window, NoiseLevel(0.3, 300.0), one_SD),
        "far end of the window": engine.predict(changed, LEVEL, one_SD),
    }
    for what, velocity in others.items():
        assert (velocity[0] - base[0]).norm() > 0.03 * base[0].norm(), what


def test_prompts_are_encoded_without_company(engine: WanEngine) -> None:
    prompts = ["a red ball", "", "a far longer prompt than the others, " * 4]
    together = engine.encode_prompts(prompts)
    alone = [engine.encode_prompts([prompt])[0] for prompt in prompts]
    for left, right in zip(together, alone, strict=True):
        assert torch.equal(left, right)
    assert together[0].shape == (32, 24)
    assert together[0].dtype == torch.float32
    assert not together[0][-1].any()
    assert together[0][0].any()
    assert together[2][-1].any()


def test_a_window_of_the_wrong_shape_is_a_bug(engine: WanEngine, window: Tensor) -> None:
    (prompt_SD,) = engine.encode_prompts([""])
    with pytest.raises(AssertionError, match="channels"):
        engine.predict(window[:, :3], LEVEL, prompt_SD)
    with pytest.raises(AssertionError, match="latent rows"):
        engine.predict(window[:, :, :3], LEVEL, prompt_SD)
    with pytest.raises(AssertionError, match="latent columns"):
        engine.predict(window[..., :3], LEVEL, prompt_SD)


def test_half_precision_keeps_what_diffusers_keeps(folder: Path, engine: WanEngine) -> None:
    half = WanEngine.load(folder, device="cpu", dtype=torch.bfloat16)
    dtypes = {name: p.dtype for name, p in transformer_of(half).named_parameters()}
    assert dtypes["patch_embedding.weight"] == torch.bfloat16
    assert dtypes["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    for kept in (
        "blocks.0.norm2.weight",
        "blocks.0.scale_shift_table",
        "condition_embedder.time_embedder.linear_1.weight",
    ):
        assert dtypes[kept] == torch.float32
    assert transformer_of(half).rope.freqs_cos.dtype == torch.float32
    assert half._networks.vae.dtype == torch.float32
    shape = engine.spec.latent_shape(engine.spec.width, engine.spec.height)
    x_TCHW = torch.randn(5, *shape, generator=torch.Generator().manual_seed(6))
    (embeds_SD,) = half.encode_prompts(["a red ball"])
    velocity = half.predict(x_TCHW, LEVEL, embeds_SD)
    expected = engine.predict(x_TCHW, LEVEL, engine.encode_prompts(["a red ball"])[0])
    assert velocity.dtype == torch.float32
    assert (velocity - expected).norm() < 0.1 * expected.norm()


def test_a_spec_costs_no_heavy_import(folder: Path) -> None:
    code = (
        "import sys, pathlib; from pipeline.engines import wan; "
        f"wan.spec(pathlib.Path({str(folder)!r})); "
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
