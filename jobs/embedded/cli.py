"""Command line of the recipe: ``python -m jobs.embedded train --minutes 100``.

Stages run in order, each into its own checkpoint in ``--run``; whatever is there is taken up where
it was left, so that a long training can be done in pieces.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from diffusers import AutoencoderKLWan

from jobs.embedded import stages
from jobs.embedded.evaluation import Renderer, held_out_cases
from jobs.embedded.evaluation import evaluate as evaluate_cases
from jobs.embedded.evaluation_report import write_report
from jobs.embedded.judge_quality import judge_quality as measure_judge
from jobs.embedded.recipe import Recipe, cpu_recipe
from jobs.embedded.training import Budget
from jobs.embedded.video_file import read_video
from pipeline.embedded import judge_folder, weights_folder
from pipeline.world.judge import changes, judge_over_time, load_judge, shares

app = typer.Typer(add_completion=False, no_args_is_help=True)

Run = Annotated[Path, typer.Option("--run", help="Folder of the run's checkpoints and caches.")]
Minutes = Annotated[float, typer.Option(help="Time for this stage, earlier pieces included.")]
Piece = Annotated[
    float | None, typer.Option(help="Stop after so many minutes; the next run goes on.")
]
DEFAULT_RUN = Path("out/embedded")
SHIPPED_WEIGHTS, SHIPPED_JUDGE = weights_folder(), judge_folder()
# Captions in the picture that an evaluation writes.
PICTURED = 10


@app.callback()
def prepare(threads: Annotated[int, typer.Option(help="CPU threads of torch.")] = 2) -> None:
    """Train the embedded model: a tiny Wan on a procedural world."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(threads)


@app.command()
def train(minutes: Minutes = 100.0, run: Run = DEFAULT_RUN, piece: Piece = None) -> None:
    """All stages, in shares of ``--minutes``; then export into the run folder."""
    if not stages.train(_recipe(), run, _budget(minutes, piece)):
        typer.echo("paused; run the same command again to go on")


@app.command()
def autoencoder(minutes: Minutes = 25.0, run: Run = DEFAULT_RUN, piece: Piece = None) -> None:
    """Stage autoencoder alone."""
    stages.train_autoencoder(_recipe(), run, _budget(minutes, piece))


@app.command()
def polish(
    weights: Path,
    folder: Path,
    minutes: Minutes = 8.0,
    run: Run = DEFAULT_RUN,
    piece: Piece = None,
) -> None:
    """Stage polish alone, on a finished checkpoint: FOLDER gets the autoencoder of WEIGHTS."""
    stages.polish_checkpoint(_recipe(), run, weights, folder, _budget(minutes, piece))


@app.command()
def latents(run: Run = DEFAULT_RUN) -> None:
    """Stage latents alone: encode clips ahead with the trained autoencoder."""
    stages.fill_latents(_recipe(), run)


@app.command()
def transformer(minutes: Minutes = 60.0, run: Run = DEFAULT_RUN, piece: Piece = None) -> None:
    """Stage transformer alone, on whatever latents there are."""
    stages.train_transformer(_recipe(), run, _budget(minutes, piece))


@app.command()
def judge(minutes: Minutes = 15.0, run: Run = DEFAULT_RUN, piece: Piece = None) -> None:
    """Stage judge alone; exports into the run folder's judge/."""
    stages.train_judge(_recipe(), run, _budget(minutes, piece))
    stages.export_judge(_recipe(), run, run / "judge")


@app.command()
def export(folder: Path, run: Run = DEFAULT_RUN) -> None:
    """Write the run's averaged weights to FOLDER in diffusers' layout."""
    stages.export_run(_recipe(), run, folder)


@app.command()
def sample(picture: Path, run: Run = DEFAULT_RUN) -> None:
    """Write a picture grid of held-out captions to PICTURE."""
    stages.sample_run(_recipe(), run, picture)


@app.command()
def quality(weights: Path, scenes: Annotated[int, typer.Option()] = 16) -> None:
    """PSNR of the autoencoder in WEIGHTS on held-out scenes, clear and not."""
    for name, value in stages.quality(_recipe(), weights, scenes).items():
        typer.echo(f"{name}: {value:.2f} dB")


Judged = Annotated[Path, typer.Option("--judge", help="Folder of the judge.")]


@app.command()
def judge_quality(
    scenes: Annotated[int, typer.Option(help="Held-out scenes to judge.")] = 500,
    weights: Annotated[
        Path | None, typer.Option(help="Show them through this checkpoint's autoencoder.")
    ] = None,
    judged_by: Judged = SHIPPED_JUDGE,
) -> None:
    """How often the judge is right on held-out scenes of the world itself."""
    vae = None if weights is None else AutoencoderKLWan.from_pretrained(weights / "vae")
    for one in measure_judge(load_judge(judged_by), Recipe().geometry, scenes, vae):
        hard = one.hardest
        typer.echo(
            f"{one.attribute}: {one.tally.right}/{one.tally.total} = {one.tally.share:.2%}; "
            f"hardest: {hard.value} {hard.tally.right}/{hard.tally.total} {hard.mistaken_for}"
        )


@app.command()
def evaluate(
    output: Path,
    weights: Annotated[Path, typer.Option(help="Checkpoint folder.")] = SHIPPED_WEIGHTS,
    scenes: Annotated[int, typer.Option(help="Held-out scenes, two captions each.")] = 100,
    judged_by: Judged = SHIPPED_JUDGE,
) -> None:
    """Render held-out captions and judge them; write a table and a picture grid to OUTPUT."""
    seer, renderer = load_judge(judged_by), Renderer(weights)
    outcomes = list(evaluate_cases(renderer, seer, held_out_cases(scenes)))
    typer.echo(write_report(outcomes, output, PICTURED))


@app.command()
def describe(video: Path, judged_by: Judged = SHIPPED_JUDGE) -> None:
    """Say what is to be seen in VIDEO, and when it changes."""
    frames, fps = read_video(video)
    moments = judge_over_time(load_judge(judged_by), frames, fps)
    for change in changes(moments):
        before = f"{change.before} -> " if change.before else ""
        typer.echo(f"{change.time_s:7.2f} s  {change.attribute}: {before}{change.value}")
    for attribute, found in shares(moments).items():
        of_the_time = ", ".join(f"{value} {share:.1%}" for value, share in found.items())
        typer.echo(f"of the time  {attribute}: {of_the_time}")


def _recipe() -> Recipe:
    return Recipe() if stages.device().type == "cuda" else cpu_recipe()


def _budget(minutes: float, piece: float | None) -> Budget:
    pause_at_s = math.inf if piece is None else time.monotonic() + 60.0 * piece
    return Budget(minutes=minutes, pause_at_s=pause_at_s)
