"""Polishing teaches the decoder's outer half and nothing else."""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan

from jobs.embedded import stages
from jobs.embedded.autoencoder import build_autoencoder, decode_unclamped, encode_moments
from jobs.embedded.export import write_halved
from jobs.embedded.footage import Footage
from jobs.embedded.polish import PolishStage
from jobs.embedded.recipe import Recipe
from jobs.embedded.training import Budget, Schedule, Trainer

CPU = torch.device("cpu")


def stage_of(recipe: Recipe, run: Path) -> PolishStage:
    torch.manual_seed(0)
    vae = build_autoencoder(recipe.autoencoder)
    return PolishStage(recipe, Footage(run, recipe), vae, CPU)


def test_a_crop_that_is_the_whole_picture_is_decoded_as_the_whole_is(recipe: Recipe, run: Path):
    stage = stage_of(recipe, run)
    pixels = torch.rand(2, 3, 5, recipe.polish.crop, recipe.polish.crop) * 2.0 - 1.0
    with torch.no_grad():
        mean, _ = encode_moments(stage.vae, pixels)
        cropped = stage._decode(mean, torch.zeros(2, 2, dtype=torch.long))
        torch.testing.assert_close(cropped, decode_unclamped(stage.vae, mean))


def test_crops_lie_where_the_batch_says(recipe: Recipe, run: Path):
    stage, side = stage_of(recipe, run), recipe.polish.crop
    pixels, places, crops = stage.batch(3, 0.0)
    assert crops.shape[-2:] == (side, side)
    for clip, (top, left), crop in zip(pixels, 8 * places, crops, strict=True):
        assert torch.equal(clip[..., top : top + side, left : left + side], crop)


def test_only_what_follows_the_middle_learns(recipe: Recipe, run: Path, tmp_path: Path):
    stage = stage_of(replace(recipe, polish=replace(recipe.polish, bf16=False)), run)
    before = {name: value.clone() for name, value in stage.vae.state_dict().items()}
    trainer = Trainer(stage, Schedule(learning_rate=3e-3, ema=0.9), tmp_path)
    losses = [trainer.advance(0.1)["loss"] for _ in range(60)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    changed = {n for n, v in stage.vae.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    outer = ("decoder.up_blocks.", "decoder.norm_out.", "decoder.conv_out.")
    assert all(name.startswith(outer) for name in changed)


def test_a_finished_checkpoint_is_polished_in_place_of_its_autoencoder(
    recipe: Recipe, run: Path, tmp_path: Path
):
    weights, polished = tmp_path / "weights", tmp_path / "polished"
    write_halved(stages.trained_autoencoder(recipe, run), weights / "vae")
    assert stages.polish_checkpoint(recipe, run, weights, polished, Budget(steps=2))
    one, other = (AutoencoderKLWan.from_pretrained(f / "vae") for f in (weights, polished))
    settings = [(folder / "vae" / "config.json").read_text() for folder in (weights, polished)]
    assert settings[0] == settings[1]
    assert torch.equal(one.encoder.conv_in.weight, other.encoder.conv_in.weight)
    assert not torch.equal(one.decoder.conv_out.weight, other.decoder.conv_out.weight)
