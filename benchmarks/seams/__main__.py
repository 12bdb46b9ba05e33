"""``python -m benchmarks.seams``: prints the table, and writes it and the plot to the README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.readme import write_section
from benchmarks.seams.measures import measure
from benchmarks.seams.plot import plot
from benchmarks.seams.settings import MODES, SETTINGS
from benchmarks.seams.table import table
from benchmarks.usage import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> None:
    command_line(__package__, __doc__).parse_args(words)
    torch.set_num_threads(1)
    measured = {name: measure(setting) for name, setting in SETTINGS.items()}
    text = table(measured)
    print(text)
    write_section(FOLDER / "README.md", "table", text)
    plot({name: measured[name] for name in MODES}, FOLDER / "energy.png")


if __name__ == "__main__":
    main()
