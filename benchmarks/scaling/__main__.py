"""``python -m benchmarks.scaling``: memory and time of 60, 120, 300 and 600 s of video.

``--quick`` renders 10 and 20 s once, to see that the benchmark itself works, and leaves the README
alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.scaling.measurement import REPEATS, SETTINGS, measure
from benchmarks.scaling.tables import memory_table, time_table, work_table
from benchmarks.usage import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).parent / "README.md"

QUICK = {10.0: 1, 20.0: 1}


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 20 s, once; prints only")
    quick = parser.parse_args(words).quick
    measurement = measure(QUICK if quick else REPEATS)
    where = f"{setting('python -m benchmarks.scaling')}; `{' '.join(SETTINGS)}`."
    text = "\n\n".join(
        [where, memory_table(measurement), work_table(measurement), time_table(measurement)]
    )
    print(text)
    if not quick:
        write_section(README, "table", text)


if __name__ == "__main__":
    main()
