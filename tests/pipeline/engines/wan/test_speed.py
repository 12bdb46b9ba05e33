"""What makes a model faster, each option measured against the plain model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

from pipeline.engines import wan
from pipeline.engines.protocol import NoiseLevel, PairEngine, WindowImage
from pipeline.engines.speed import ATTENTION_BACKENDS, SpeedOptions
from pipeline.engines.wan.engine import WanEngine
from pipeline.errors import ConfigError
from pipeline.guidance import guided_velocity
from tests.pipeline.engines.wan.inside import transformer_of
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

LEVEL = NoiseLevel(sigma=0.8, timestep=800.0)
PROMPT, NEGATIVE = "a red ball rolls", "blurry, worst quality"
# fp32 on a CPU: the order of additions is all that differs.
ROUNDING = 1e-5
HERE = ("native", "_native_flash", "_native_math")


class Case:
    """A tiny checkpoint, its plain engine, and one window of it with everything that it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plain = self.load(SpeedOptions())
        spec = self.plain.spec
        generator = torch.Generator().manual_seed(5)
        shape = spec.latent_shape(spec.width, spec.height)
        self.window_TCHW = torch.randn(9, *shape, generator=generator)
        self.embeds = dict(
            zip((PROMPT, NEGATIVE), self.plain.encode_prompts([PROMPT, NEGATIVE]), strict=True)
        )
        self.image = None
        if spec.image == "channels":
            pixels_HWC = np.random.default_rng(1).integers(0, 255, (spec.height, spec.width, 3))
            embeds = self.plain.encode_image(pixels_HWC.astype(np.uint8))
            self.image = WindowImage(embeds, at_start=True)

    def load(self, speed: SpeedOptions) -> WanEngine:
        engine = wan.load(self.folder, "cpu", torch.float32, speed=speed)
        assert isinstance(engine, WanEngine)
        return engine

    def guided(self, engine: WanEngine) -> Tensor:
        return guided_velocity(
            engine,
            self.window_TCHW,
            LEVEL,
            shares=[(PROMPT, 1.0)],
            negative_prompt=NEGATIVE,
            guidance_scale=5.0,
            prompt_embeds=self.embeds,
            image=self.image,
        )

    def relative_error(self, engine: WanEngine) -> float:
        expected_TCHW = self.guided(self.plain)
        return float((self.guided(engine) - expected_TCHW).norm() / expected_TCHW.norm())


@pytest.fixture(scope="module", params=["2.1-i2v", "2.2-5b"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("speed") / request.param
    return Case(make_tiny_wan(folder, layout=request.param))


@pytest.fixture(scope="module")
def text_case(folders: dict[str, Path]) -> Case:
    return Case(folders["2.1"])


@pytest.fixture(autouse=True)
def _diffusers_choice_is_left_alone() -> Iterator[None]:
    before = _AttentionBackendRegistry.get_active_backend()
    yield
    assert _AttentionBackendRegistry.get_active_backend() == before


def test_names_are_those_that_diffusers_gives() -> None:
    elsewhere = {"_native_npu", "_native_xla", "flex"}
    known = {name.value for name in AttentionBackendName if not name.value.endswith("hub")}
    assert set(ATTENTION_BACKENDS) == known - elsewhere


@pytest.mark.parametrize("name", ["sage_hub", "_flash_3_hub", "nativ", "flex"])
def test_an_unknown_name_and_one_that_downloads_are_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match=f"attention_backend = '{name}'.* expected one of native"):
        SpeedOptions(attention_backend=name)


@pytest.mark.parametrize("name", HERE[1:])
def test_attention_is_computed_by_whom_is_asked(text_case: Case, name: str) -> None:
    engine = text_case.load(SpeedOptions(attention_backend=name))
    assert text_case.relative_error(engine) < ROUNDING


@pytest.mark.parametrize("name", sorted(set(ATTENTION_BACKENDS) - set(HERE)))
def test_attention_that_this_machine_has_not_is_an_error_before_a_window(
    text_case: Case, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"attention_backend = '{name}': not here .cpu, float32"):
        text_case.load(SpeedOptions(attention_backend=name))


def test_attention_that_computes_noise_is_refused(
    text_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def value_of_another_token(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
        return value.flip(1)

    broken = AttentionBackendName("_native_math")
    monkeypatch.setitem(_AttentionBackendRegistry._backends, broken, value_of_another_token)
    with pytest.raises(ConfigError, match=r"off by \d+ %"):
        text_case.load(SpeedOptions(attention_backend="_native_math"))


def test_an_environment_variable_of_diffusers_changes_nothing(
    text_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_TCHW = text_case.guided(text_case.plain)
    # What DIFFUSERS_ATTN_BACKEND sets when diffusers is imported.
    math = AttentionBackendName("_native_math")
    monkeypatch.setattr(_AttentionBackendRegistry, "_active_backend", math)
    assert torch.equal(text_case.guided(text_case.plain), expected_TCHW)


def test_projections_are_fused_and_not_kept_twice(case: Case) -> None:
    engine = case.load(SpeedOptions(fuse_projections=True))
    assert case.relative_error(engine) < ROUNDING
    sizes = [
        sum(parameter.numel() for parameter in transformer_of(each).parameters())
        for each in (engine, case.plain)
    ]
    assert sizes[0] == sizes[1]
    assert not any(parameter.requires_grad for parameter in transformer_of(engine).parameters())
    names = set(transformer_of(engine).state_dict())
    assert {"blocks.0.attn1.to_qkv.weight", "blocks.1.attn2.to_kv.bias"} <= names


def test_guidance_in_one_batch(case: Case) -> None:
    engine = case.load(SpeedOptions(batch_guidance=True))
    assert isinstance(engine, PairEngine)
    assert not isinstance(case.plain, PairEngine)
    seen: list[int] = []
    transformer_of(engine).register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    assert case.relative_error(engine) < ROUNDING
    assert seen == [2]
    embeds = case.embeds
    both = engine.predict_pair(
        case.window_TCHW, LEVEL, (embeds[PROMPT], embeds[NEGATIVE]), case.image
    )
    for velocity_TCHW, prompt in zip(both, embeds, strict=True):
        alone_TCHW = engine.predict(case.window_TCHW, LEVEL, embeds[prompt], case.image)
        assert velocity_TCHW.is_contiguous()
        assert (velocity_TCHW - alone_TCHW).norm() < ROUNDING * alone_TCHW.norm()


def test_without_guidance_there_is_no_pair(text_case: Case) -> None:
    engine = text_case.load(SpeedOptions(batch_guidance=True))
    velocity_TCHW = guided_velocity(
        engine,
        text_case.window_TCHW,
        LEVEL,
        shares=[(PROMPT, 1.0)],
        negative_prompt=None,
        guidance_scale=1.0,
        prompt_embeds=text_case.embeds,
    )
    alone_TCHW = text_case.plain.predict(text_case.window_TCHW, LEVEL, text_case.embeds[PROMPT])
    assert torch.equal(velocity_TCHW, alone_TCHW)


@pytest.mark.slow
@pytest.mark.longest
def test_compiled_blocks_with_all_the_rest(text_case: Case) -> None:
    """Two minutes where nothing was compiled before, most of it in the C++ compiler."""
    speed = SpeedOptions(compile=True, fuse_projections=True, batch_guidance=True)
    engine = text_case.load(speed)
    assert text_case.relative_error(engine) < ROUNDING
    # Compiled once more for another length, not for shapes in general.
    short_TCHW = text_case.window_TCHW[:4]
    embeds_SD = text_case.embeds[PROMPT]
    again_TCHW = engine.predict(short_TCHW, LEVEL, embeds_SD)
    plain_TCHW = text_case.plain.predict(short_TCHW, LEVEL, embeds_SD)
    assert (again_TCHW - plain_TCHW).norm() < ROUNDING * plain_TCHW.norm()
    assert torch.equal(engine.predict(short_TCHW, LEVEL, embeds_SD), again_TCHW)


@pytest.mark.slow
@pytest.mark.longest
def test_a_machine_that_can_not_compile_says_so_before_a_window(
    text_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What this process has compiled already would do without one.
    torch.compiler.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/no/such/compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.raises(ConfigError, match=r"engine\.speed\.compile = True: not here: "):
        text_case.load(SpeedOptions(compile=True))
