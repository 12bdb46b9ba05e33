"""The benchmark of a step runs at tiny size, and measures nothing where there is no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.speed.__main__ import FOLDER, main
from benchmarks.speed.model import published, tiny
from benchmarks.speed.sampling import Steps, ours, stock
from benchmarks.speed.table import PLAIN, table, verdict
from pipeline.engines.speed import SpeedOptions

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def steps(step_s: float, first_s: float = 9.0) -> Steps:
    latents_TCHW = torch.ones(1, 1, 1, 1)
    return Steps(first_s=first_s, step_s=step_s, peak_bytes=3 << 29, latents_TCHW=latents_TCHW)


def test_plain_steps_are_those_of_stock_bit_for_bit_in_fp32() -> None:
    model = tiny()
    theirs = stock(model, model.transformer(), num_steps=3)
    found = ours(model, model.engine(SpeedOptions()), num_steps=3)
    assert torch.equal(found.latents_TCHW, theirs.latents_TCHW)
    assert found.latents_TCHW.shape == (21, 16, 4, 6)
    assert found.peak_bytes is None


@pytest.mark.slow
def test_tiny_prints_a_row_per_option_and_leaves_the_readme_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (FOLDER / "README.md").read_text()
    main(["--tiny"])
    text = capsys.readouterr().out
    assert "| stock diffusers |" in text
    assert "| 0.0e+00 |" in text
    assert "| `attention_backend=_native_cudnn` | (cpu, float32): " in text
    for name in ("fuse_projections", "batch_guidance"):
        assert f"| `{name}` | 0." in text
    assert "compile" not in text
    assert (FOLDER / "README.md").read_text() == before


def test_without_a_gpu_it_says_so_and_ends_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (FOLDER / "README.md").read_text()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main([])
    assert capsys.readouterr().out.startswith("no GPU here: nothing is measured")
    assert (FOLDER / "README.md").read_text() == before


def test_what_is_measured_is_the_published_model() -> None:
    model = published()
    assert (model.width, model.height, model.num_frames) == (832, 480, 81)
    assert (model.window_latent_frames, model.dtype, model.device) == (21, torch.bfloat16, "cuda")
    assert model.config["num_layers"] == 30


def test_ratios_and_verdict() -> None:
    found = {PLAIN: steps(2.002), "faster": steps(1.0), "elsewhere": "not here"}
    text = table(steps(2.0), found)
    assert "| ours, plain | 2.002 | 1.00 | 9.00 s | 1.50 GiB | 0.0e+00 |" in text
    assert "| elsewhere | not here | | | | |" in text
    assert verdict(steps(2.0), found) == (
        "Plain, ours is 1.00 times as fast as stock (at least 1.00: as asked); the fastest is "
        "faster, 2.00 times."
    )
    assert "LESS than asked" in verdict(steps(2.0), {PLAIN: steps(2.1)})
