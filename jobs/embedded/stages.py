"""The stages in order, and what each needs of those before it."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKLWan

from jobs.embedded.autoencoder import AutoencoderStage, build_autoencoder, psnr, reconstruct
from jobs.embedded.export import assemble, export, write_halved
from jobs.embedded.footage import Footage
from jobs.embedded.judge import JudgeStage, build_judge, judge_shape
from jobs.embedded.latents import LatentCache
from jobs.embedded.polish import PolishStage, taught
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
POLISH_SHARE = 0.08
TRANSFORMER_SHARE = 0.47
JUDGE_SHARE = 0.13
SAMPLED_PROMPTS = 8


def train(recipe: Recipe, run: Path, budget: Budget) -> bool:
    """Every stage, each taken up where an earlier piece left it; exports into ``run/weights``.

    The judge comes last and is exported into ``run/judge``.

    Returns:
        Whether all is done; false if the budget's pause came first: call again.
    """
    assert budget.minutes is not None
    minutes, pause_at_s = budget.minutes, budget.pause_at_s
    ours = Budget(minutes=minutes * AUTOENCODER_SHARE, pause_at_s=pause_at_s)
    if not train_autoencoder(recipe, run, ours):
        return False
    fill_latents(recipe, run)
    ours = Budget(minutes=minutes * POLISH_SHARE, pause_at_s=pause_at_s)
    if not train_polish(recipe, run, trained_autoencoder(recipe, run), ours):
        return False
    ours = Budget(minutes=minutes * TRANSFORMER_SHARE, pause_at_s=pause_at_s)
    if not train_transformer(recipe, run, ours):
        return False
    export_run(recipe, run, run / "weights")
    ours = Budget(minutes=minutes * JUDGE_SHARE, pause_at_s=pause_at_s)
    if not train_judge(recipe, run, ours):
        return False
    export_judge(recipe, run, run / "judge")
    return True


def train_autoencoder(recipe: Recipe, run: Path, budget: Budget) -> bool:
    """Train the autoencoder, or go on; clips are rendered all the while."""
    ours = recipe.autoencoder
    schedule = Schedule(
        learning_rate=ours.learning_rate,
        ema=ours.ema,
        weight_decay=0.0,
        descent_from=0.6,
        drop_at=ours.still_until,
        drop_by=ours.clip_rate,
    )
    footage = Footage(run, recipe)
    with footage.filling():
        trainer = Trainer(AutoencoderStage(recipe, footage, device()), schedule, run)
        trainer.restore()
        footage.wait_for(min(ours.clips, recipe.footage.clips))
        return trainer.run(budget)


def train_polish(recipe: Recipe, run: Path, vae: AutoencoderKLWan, budget: Budget) -> bool:
    """Teach the decoder of ``vae`` the things' outlines, or go on; it then has the new weights."""
    ours = recipe.polish
    schedule = Schedule(learning_rate=ours.learning_rate, ema=ours.ema, weight_decay=0.0)
    footage = Footage(run, recipe)
    with footage.filling():
        footage.wait_for(recipe.footage.clips)
    trainer = Trainer(PolishStage(recipe, footage, vae, device()), schedule, run)
    trainer.restore()
    return trainer.run(budget)


def polish_checkpoint(
    recipe: Recipe, run: Path, weights: Path, folder: Path, budget: Budget
) -> bool:
    """Polish a finished checkpoint: ``folder`` gets its autoencoder; false if it was paused."""
    vae = AutoencoderKLWan.from_pretrained(weights / "vae")
    if not train_polish(recipe, run, vae, budget):
        return False
    write_halved(vae.cpu(), folder / "vae")
    # diffusers would write where the checkpoint was read from.
    shutil.copy(weights / "vae" / "config.json", folder / "vae" / "config.json")
    logger.info("exported to %s", folder)
    return True


def fill_latents(recipe: Recipe, run: Path) -> None:
    """Render and encode the clips that are not in the cache yet."""
    footage = Footage(run, recipe)
    with footage.filling():
        vae = trained_autoencoder(recipe, run).to(device())
        LatentCache(run, recipe).fill(vae, footage)


def train_transformer(recipe: Recipe, run: Path, budget: Budget) -> bool:
    """Train transformer and text encoder, or go on, on the latents that there are."""
    ours = recipe.transformer
    schedule = Schedule(learning_rate=ours.learning_rate, ema=ours.ema)
    trainer = Trainer(_transformer_stage(recipe, run, device()), schedule, run)
    trainer.restore()
    return trainer.run(budget)


def train_judge(recipe: Recipe, run: Path, budget: Budget) -> bool:
    """Train the judge, or go on; it needs no other stage."""
    ours = recipe.judge
    schedule = Schedule(
        learning_rate=ours.learning_rate,
        ema=ours.ema,
        weight_decay=ours.weight_decay,
        descent_from=ours.descent_from,
    )
    trainer = Trainer(JudgeStage(recipe, run, device()), schedule, run)
    trainer.restore()
    return trainer.run(budget)


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
    save_samples(trained_pipeline(recipe, run).to(device()), recipe, prompts, path)


def quality(recipe: Recipe, weights: Path, scenes: int) -> dict[str, float]:
    """PSNR in dB of an exported autoencoder on held-out window-long clips."""
    vae = AutoencoderKLWan.from_pretrained(weights / "vae").to(device())
    figures = {}
    for name, clear in (("clear scenes", True), ("all scenes", False)):
        truth, decoded = reconstruct(vae, recipe, scenes, clear=clear)
        figures[name] = float(psnr(decoded - truth))
    return figures


def device() -> torch.device:
    """Where to train: a GPU if there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def trained_autoencoder(recipe: Recipe, run: Path) -> AutoencoderKLWan:
    """The run's autoencoder, averaged weights."""
    vae = build_autoencoder(recipe.autoencoder)
    load_average(run, AutoencoderStage.name, {"vae": vae})
    if (run / f"{PolishStage.name}.pt").exists():
        load_average(run, PolishStage.name, {"decoder": taught(vae)})
    return vae


def trained_pipeline(recipe: Recipe, run: Path) -> WanPipeline:
    """A stock pipeline over the run's averaged weights."""
    stage = _transformer_stage(recipe, run, torch.device("cpu"))
    load_average(run, stage.name, stage.modules)
    return assemble(
        recipe,
        vae=trained_autoencoder(recipe, run),
        statistics=stage.statistics,
        transformer=stage.transformer,
        text_encoder=stage.text_encoder,
        tokenizer=stage.tokenizer,
    )


def _transformer_stage(recipe: Recipe, run: Path, where: torch.device) -> TransformerStage:
    return TransformerStage(recipe, LatentCache(run, recipe), train_tokenizer(recipe.text), where)
