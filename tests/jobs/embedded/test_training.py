"""Training goes downhill, and a resumed run is the run that never stopped."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.embedded import stages
from jobs.embedded.autoencoder import AutoencoderStage
from jobs.embedded.footage import Footage
from jobs.embedded.latents import LatentCache
from jobs.embedded.recipe import Recipe
from jobs.embedded.text import train_tokenizer
from jobs.embedded.training import Budget, Schedule, Trainer
from jobs.embedded.transformer import TransformerStage

FLAT = Schedule(learning_rate=3e-3, ema=0.9)
CPU = torch.device("cpu")


def trainer_of(kind: str, recipe: Recipe, run: Path, folder: Path) -> Trainer:
    if kind == "autoencoder":
        return Trainer(AutoencoderStage(recipe, Footage(run, recipe), CPU), FLAT, folder)
    tokenizer = train_tokenizer(recipe.text)
    stage = TransformerStage(recipe, LatentCache(run, recipe), tokenizer, CPU)
    return Trainer(stage, FLAT, folder)


@pytest.mark.parametrize("kind", ["autoencoder", "transformer"])
def test_the_loss_goes_down(kind: str, recipe: Recipe, run: Path, tmp_path: Path):
    trainer = trainer_of(kind, recipe, run, tmp_path)
    losses = [trainer.advance(0.1)["loss"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


@pytest.mark.parametrize("kind", ["autoencoder", "transformer"])
def test_a_resumed_run_is_bit_identical(kind: str, recipe: Recipe, run: Path, tmp_path: Path):
    budget = Budget(steps=6)

    def advance(trainer: Trainer, until: int) -> None:
        while trainer.step < until:
            trainer.advance(budget.fraction(trainer.step, 0.0))
        trainer.save()

    advance(whole := trainer_of(kind, recipe, run, tmp_path / "whole"), 6)
    advance(trainer_of(kind, recipe, run, tmp_path / "parts"), 3)
    second = trainer_of(kind, recipe, run, tmp_path / "parts")
    assert second.restore()
    advance(second, 6)
    one, other = (torch.load(t.path, weights_only=True) for t in (whole, second))
    for name, value in one["modules"].items():
        assert torch.equal(value, other["modules"][name]), name
    for value, again in zip(one["average"], other["average"], strict=True):
        assert torch.equal(value, again)


def test_a_used_up_budget_trains_no_further(recipe: Recipe, run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    assert stages.train_transformer(recipe, tmp_path / "run", Budget(steps=6))
    state = torch.load(tmp_path / "run" / "transformer.pt", weights_only=True)
    assert state["step"] == 6


def test_a_piece_pauses_and_the_next_goes_on(recipe: Recipe, run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    paused = Budget(steps=8, pause_at_s=time.monotonic())
    assert not stages.train_transformer(recipe, tmp_path / "run", paused)
    assert stages.train_transformer(recipe, tmp_path / "run", Budget(steps=8))
    state = torch.load(tmp_path / "run" / "transformer.pt", weights_only=True)
    assert state["step"] == 8


def test_the_rate_warms_up_and_ends_at_zero():
    schedule = Schedule(learning_rate=1.0, ema=0.9, descent_from=0.5)
    assert schedule.rate(0, 0.0) < 0.1
    assert schedule.rate(1000, 0.5) == 1.0
    assert schedule.rate(1000, 0.75) == pytest.approx(0.5)
    assert schedule.rate(1000, 1.0) == 0.0


def test_a_cache_goes_on_where_it_stopped(recipe: Recipe, run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    whole = (run / "latents.npy").read_bytes()
    (tmp_path / "run" / "latents.count").write_text("2")
    stages.fill_latents(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "latents.npy").read_bytes() == whole
    assert LatentCache(tmp_path / "run", recipe).count == recipe.footage.clips


def test_footage_goes_on_where_it_stopped(recipe: Recipe, run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "footage.count").unlink()
    footage = Footage(tmp_path / "run", recipe)
    with pytest.raises(RuntimeError, match="stopped at clip 4"), footage.filling():
        footage.wait_for(recipe.footage.clips + 1)
    with footage.filling():
        footage.wait_for(recipe.footage.clips)
    assert (tmp_path / "run" / "footage.npy").read_bytes() == (run / "footage.npy").read_bytes()


def test_footage_of_another_recipe_is_refused(recipe: Recipe, run: Path):
    other = replace(recipe, footage=replace(recipe.footage, clips=5))
    with pytest.raises(ValueError, match="expected"):
        Footage(run, other)


def test_windows_are_cut_from_where_they_should_be(recipe: Recipe, run: Path):
    cache = LatentCache(run, recipe)
    cache.load(CPU)
    stored = np.load(run / "latents.npy")
    rng = np.random.default_rng(0)
    for interior, allowed in ((0.0, {0}), (1.0, {1, 2})):
        clips, windows = cache.windows(rng, 20, 2, interior)
        seen = set()
        for clip, window in zip(clips, windows.numpy(), strict=True):
            found = {k for k in range(3) if np.array_equal(stored[clip, k : k + 2], window)}
            assert found <= allowed
            seen |= found
        assert seen == allowed
