"""``python -m benchmarks.night``: prints the tables, and writes them and the plot to the README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.hardware import setting as ran_on
from benchmarks.night.measurement import measure
from benchmarks.night.plot import plot
from benchmarks.night.settings import SETTINGS
from benchmarks.night.tables import nights_table, trouble_table, verdicts
from benchmarks.readme import write_section
from benchmarks.usage import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> None:
    command_line(__package__, __doc__).parse_args(words)
    measured = []
    for setting in SETTINGS:
        measured.append(measure(setting))
        print(nights_table(measured[-1:]).splitlines()[-1], flush=True)
    calm = [each for each in measured if not each.setting.fails]
    troubled = [each for each in measured if each.setting.fails]
    sections = {
        "calm": nights_table(calm),
        "trouble": f"{nights_table(troubled)}\n\nWhat failed:\n\n{trouble_table(troubled)}",
        "verdicts": f"{verdicts(measured)}\n\n{ran_on('python -m benchmarks.night')}",
    }
    for name, text in sections.items():
        print(f"\n{text}")
        write_section(FOLDER / "README.md", name, text)
    plot(FOLDER / "busy.png")


if __name__ == "__main__":
    main()
