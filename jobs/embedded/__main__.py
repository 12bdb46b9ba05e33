"""Command line of the recipe: ``python -m jobs.embedded train --minutes 100``.

Stages run in order, each into its own checkpoint in ``--run``; whatever is there is taken up where
it was left, so that a long training can be done in pieces.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from jobs.embedded import stages
from jobs.embedded.recipe import Recipe
from jobs.embedded.training import Budget

app = typer.Typer(add_completion=False, no_args_is_help=True)

Run = Annotated[Path, typer.Option("--run", help="Folder of the run's checkpoints and caches.")]
Minutes = Annotated[float, typer.Option(help="Time for this stage, earlier pieces included.")]
DEFAULT_RUN = Path("out/embedded")


@app.callback()
def prepare(threads: Annotated[int, typer.Option(help="CPU threads of torch.")] = 2) -> None:
    """Train the embedded model: a tiny Wan on a procedural world."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(threads)


@app.command()
def train(minutes: Minutes = 100.0, run: Run = DEFAULT_RUN) -> None:
    """All stages, in shares of ``--minutes``; then export into the run folder."""
    stages.train(Recipe(), run, minutes)


@app.command()
def autoencoder(minutes: Minutes = 25.0, run: Run = DEFAULT_RUN) -> None:
    """Stage autoencoder alone."""
    stages.train_autoencoder(Recipe(), run, Budget(minutes=minutes))


@app.command()
def latents(run: Run = DEFAULT_RUN) -> None:
    """Stage latents alone: encode clips ahead with the trained autoencoder."""
    stages.fill_latents(Recipe(), run)


@app.command()
def transformer(minutes: Minutes = 60.0, run: Run = DEFAULT_RUN) -> None:
    """Stage transformer alone, on whatever latents there are."""
    stages.train_transformer(Recipe(), run, Budget(minutes=minutes))


@app.command()
def export(folder: Path, run: Run = DEFAULT_RUN) -> None:
    """Write the run's averaged weights to FOLDER in diffusers' layout."""
    stages.export_run(Recipe(), run, folder)


@app.command()
def sample(picture: Path, run: Run = DEFAULT_RUN) -> None:
    """Write a picture grid of held-out captions to PICTURE."""
    stages.sample_run(Recipe(), run, picture)


@app.command()
def quality(weights: Path, scenes: Annotated[int, typer.Option()] = 16) -> None:
    """PSNR of the autoencoder in WEIGHTS on held-out scenes, clear and not."""
    for name, value in stages.quality(Recipe(), weights, scenes).items():
        typer.echo(f"{name}: {value:.2f} dB")


if __name__ == "__main__":
    app()
