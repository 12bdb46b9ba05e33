"""``python -m benchmarks.speed [--tiny]``: a step of ours against a step of stock diffusers.

Random weights of Wan 2.1 1.3B, one window of 81 frames at 832x480, guidance on, bf16. Without a GPU
nothing is measured and the README stays as it is; ``--tiny`` runs the same code on a CPU.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.speed.model import published, tiny
from benchmarks.speed.sampling import ours, stock
from benchmarks.speed.table import PLAIN, table, verdict
from benchmarks.usage import command_line
from pipeline.engines.speed import SpeedOptions
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.speed.model import Model
    from benchmarks.speed.sampling import Steps

FOLDER: Final = Path(__file__).parent
TINY: Final = "--tiny"
VARIANTS: Final[Mapping[str, SpeedOptions]] = {
    PLAIN: SpeedOptions(),
    "`attention_backend=_native_flash`": SpeedOptions(attention_backend="_native_flash"),
    "`attention_backend=_native_cudnn`": SpeedOptions(attention_backend="_native_cudnn"),
    "`fuse_projections`": SpeedOptions(fuse_projections=True),
    "`batch_guidance`": SpeedOptions(batch_guidance=True),
    "`compile`": SpeedOptions(compile=True),
    "`compile`, `fuse_projections`, `batch_guidance`": SpeedOptions(
        compile=True, fuse_projections=True, batch_guidance=True
    ),
}


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument(TINY, action="store_true", help="a tiny model on a CPU; prints only")
    if parser.parse_args(words).tiny:
        # A compiler takes a minute on a CPU, and would say nothing of a GPU.
        kept = {name: speed for name, speed in VARIANTS.items() if not speed.compile}
        print(_report(tiny(), kept).table)
    elif not torch.cuda.is_available():
        print(f"no GPU here: nothing is measured, the README stays as it is ({TINY} runs anywhere)")
    else:
        found = _report(published(), VARIANTS)
        text = f"{setting('python -m benchmarks.speed')}.\n\n{found.table}\n\n{found.verdict}"
        print(text)
        write_section(FOLDER / "README.md", "table", text)


class Report(NamedTuple):
    """What is printed; the verdict is of no use at tiny size."""

    table: str
    verdict: str


def _report(model: Model, variants: Mapping[str, SpeedOptions]) -> Report:
    """Stock before and after our plain run, and the faster of the two counts."""
    found: dict[str, Steps | str] = {}
    theirs = [_stock(model)]
    for name, speed in variants.items():
        found[name] = _ours(model, speed)
        if name == PLAIN:
            theirs.append(_stock(model))
    fastest = min(theirs, key=lambda steps: steps.step_s)
    about = (
        f"{model.title}, {model.width}x{model.height}, {model.num_frames} frames, "
        f"{str(model.dtype).removeprefix('torch.')}, two forwards a step."
    )
    return Report(f"{about}\n\n{table(fastest, found)}", verdict(fastest, found))


def _stock(model: Model) -> Steps:
    _let_go()
    return stock(model, model.transformer())


def _ours(model: Model, speed: SpeedOptions) -> Steps | str:
    _let_go()
    try:
        return ours(model, model.engine(speed))
    except ConfigError as error:
        # Its second half is what the machine said.
        return str(error).partition("not here ")[2] or str(error)


def _let_go() -> None:
    """Of the last run's weights, before the next one's are made."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
