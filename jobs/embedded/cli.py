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

from jobs.embedded import stages
from jobs.embedded.recipe import Recipe, cpu_recipe
from jobs.embedded.training import Budget

app = typer.Typer(add_completion=False, no_args_is_help=True)

Run = Annotated[Path, typer.Option("--run", help="Folder of the run's checkpoints and caches.")]
Minutes = Annotated[float, typer.Option(help="Time for this stage, earlier pieces included.")]
Piece = Annotated[
    float | None, typer.Option(help="Stop after so many minutes; the next run goes on.")
]
DEFAULT_RUN = Path("out/embedded")


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
def latents(run: Run = DEFAULT_RUN) -> None:
    """Stage latents alone: encode clips ahead with the trained autoencoder."""
    stages.fill_latents(_recipe(), run)


@app.command()
def transformer(minutes: Minutes = 60.0, run: Run = DEFAULT_RUN, piece: Piece = None) -> None:
    """Stage transformer alone, on whatever latents there are."""
    stages.train_transformer(_recipe(), run, _budget(minutes, piece))


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


def _recipe() -> Recipe:
    return Recipe() if stages.device().type == "cuda" else cpu_recipe()


def _budget(minutes: float, piece: float | None) -> Budget:
    pause_at_s = math.inf if piece is None else time.monotonic() + 60.0 * piece
    return Budget(minutes=minutes, pause_at_s=pause_at_s)
