"""The stages in order, and what each needs of those before it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from diffusers import AutoencoderKLWan

from jobs.embedded.autoencoder import AutoencoderStage, build_autoencoder, psnr, reconstruct
from jobs.embedded.export import assemble, export
from jobs.embedded.judge import JudgeStage, build_judge, judge_shape
from jobs.embedded.latents import LatentCache
from jobs.embedded.sampling import held_out_prompts, save_samples
from jobs.embedded.text import train_tokenizer
from jobs.embedded.training import Budget, Schedule, Trainer, load_average
from jobs.embedded.transformer import TransformerStage
from pipeline.world.judge import Judge, save_judge

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import WanPipeline

    from jobs.embedded.recipe import Recipe

logger = logging.getLogger(__name__)

# Shares of the whole budget; encoding the latents takes what is left.
AUTOENCODER_SHARE = 0.25
TRANSFORMER_SHARE = 0.65
JUDGE_SHARE = 0.08
SAMPLED_PROMPTS = 6


def train(recipe: Recipe, run: Path, minutes: float) -> None:
    """Every stage, each taken up where an earlier run left it; exports into ``run/weights``.

    The judge is exported into ``run/judge``.
    """
    train_autoencoder(recipe, run, Budget(minutes=minutes * AUTOENCODER_SHARE))
    fill_latents(recipe, run)
    train_transformer(recipe, run, Budget(minutes=minutes * TRANSFORMER_SHARE))
    export_run(recipe, run, run / "weights")
    train_judge(recipe, run, Budget(minutes=minutes * JUDGE_SHARE))
    export_judge(recipe, run, run / "judge")


def train_autoencoder(recipe: Recipe, run: Path, budget: Budget) -> Trainer:
    """Train the autoencoder, or go on."""
    ours = recipe.autoencoder
    schedule = Schedule(
        learning_rate=ours.learning_rate,
        ema=ours.ema,
        weight_decay=0.0,
        descent_from=0.6,
        drop_at=ours.still_until,
        drop_by=ours.clip_rate,
    )
    trainer = Trainer(AutoencoderStage(recipe, run), schedule, run)
    trainer.restore()
    trainer.run(budget)
    return trainer


def fill_latents(recipe: Recipe, run: Path) -> None:
    """Encode the clips that are not in the cache yet."""
    LatentCache(run, recipe).fill(trained_autoencoder(recipe, run))


def train_transformer(recipe: Recipe, run: Path, budget: Budget) -> Trainer:
    """Train transformer and text encoder, or go on, on the latents that there are."""
    ours = recipe.transformer
    schedule = Schedule(learning_rate=ours.learning_rate, ema=ours.ema)
    trainer = Trainer(_transformer_stage(recipe, run), schedule, run)
    trainer.restore()
    trainer.run(budget)
    return trainer


def train_judge(recipe: Recipe, run: Path, budget: Budget) -> Trainer:
    """Train the judge, or go on; it needs no other stage."""
    ours = recipe.judge
    schedule = Schedule(
        learning_rate=ours.learning_rate,
        ema=ours.ema,
        weight_decay=ours.weight_decay,
        descent_from=ours.descent_from,
    )
    trainer = Trainer(JudgeStage(recipe, run), schedule, run)
    trainer.restore()
    trainer.run(budget)
    return trainer


def export_judge(recipe: Recipe, run: Path, folder: Path) -> None:
    """Write the run's judge, averaged weights, to ``folder``."""
    network = build_judge(recipe)
    load_average(run, JudgeStage.name, {"judge": network})
    save_judge(Judge(judge_shape(recipe), network), folder)
    logger.info("exported to %s", folder)


def export_run(recipe: Recipe, run: Path, folder: Path) -> None:
    """Write the run's averaged weights as a checkpoint folder."""
    export(trained_pipeline(recipe, run), recipe, folder)
    logger.info("exported to %s", folder)


def sample_run(recipe: Recipe, run: Path, path: Path) -> None:
    """Write a picture grid of held-out captions rendered with the run's averaged weights."""
    prompts = held_out_prompts(SAMPLED_PROMPTS)
    for row, prompt in enumerate(prompts):
        logger.info("row %d: %s", row, prompt)
    save_samples(trained_pipeline(recipe, run), recipe, prompts, path)


def quality(recipe: Recipe, weights: Path, scenes: int) -> dict[str, float]:
    """PSNR in dB of an exported autoencoder on held-out window-long clips."""
    vae = AutoencoderKLWan.from_pretrained(weights / "vae")
    figures = {}
    for name, clear in (("clear scenes", True), ("all scenes", False)):
        truth, decoded = reconstruct(vae, recipe, scenes, clear=clear)
        figures[name] = psnr(decoded - truth)
    return figures


def trained_autoencoder(recipe: Recipe, run: Path) -> AutoencoderKLWan:
    """The run's autoencoder, averaged weights."""
    vae = build_autoencoder(recipe.autoencoder)
    load_average(run, AutoencoderStage.name, {"vae": vae})
    return vae


def trained_pipeline(recipe: Recipe, run: Path) -> WanPipeline:
    """A stock pipeline over the run's averaged weights."""
    stage = _transformer_stage(recipe, run)
    load_average(run, stage.name, stage.modules)
    return assemble(
        recipe,
        vae=trained_autoencoder(recipe, run),
        statistics=stage.statistics,
        transformer=stage.transformer,
        text_encoder=stage.text_encoder,
        tokenizer=stage.tokenizer,
    )


def _transformer_stage(recipe: Recipe, run: Path) -> TransformerStage:
    return TransformerStage(recipe, LatentCache(run, recipe), train_tokenizer(recipe.text))
