"""Training goes downhill, and a resumed run is the run that never stopped."""

import shutil
from pathlib import Path

import pytest
import torch

from jobs.embedded import stages
from jobs.embedded.autoencoder import AutoencoderStage
from jobs.embedded.latents import LatentCache
from jobs.embedded.recipe import Recipe
from jobs.embedded.text import train_tokenizer
from jobs.embedded.training import Budget, Schedule, Trainer
from jobs.embedded.transformer import TransformerStage

FLAT = Schedule(learning_rate=3e-3, ema=0.9)


def trainer_of(kind: str, recipe: Recipe, run: Path, folder: Path) -> Trainer:
    if kind == "autoencoder":
        return Trainer(AutoencoderStage(recipe, run), FLAT, folder)
    cache = LatentCache(run, recipe)
    return Trainer(TransformerStage(recipe, cache, train_tokenizer(recipe.text)), FLAT, folder)


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
    trainer = stages.train_transformer(recipe, tmp_path / "run", Budget(steps=6))
    assert trainer.step == 6


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
    assert LatentCache(tmp_path / "run", recipe).count == recipe.latents.clips
