"""``python -m benchmarks.efficiency [--quick] [SECONDS]...``: how close gangs come to ideal.

Ideal is the slowest actor's windows times the time per window, which is set: the actor sleeps as
one does that waits for its GPU, and computes the closed form meanwhile. So more actors than cores
are no trouble while they sleep. States and boundaries are those of a real render.

``--quick`` samples one short video, to see that it works. With it, or with SECONDS, which choose
among the times per window, the README stays as it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from actors.cluster import ClusterOptions, connected
from actors.gang import Gang
from actors.placement import GangOptions
from benchmarks.efficiency.cell import Cell, Outcome, sample, table
from benchmarks.efficiency.plot import plot
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line, positive
from pipeline.engines.gaussian import GaussianOptions, spec
from pipeline.engines.registry import EngineOptions
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent

ACTORS = (2, 4, 8)
# What is asked is asked of this one: nine windows of a second for each of four actors.
ASKED = Cell(num_actors=4, window_s=1.0, size="480p", num_windows=9, num_steps=5)
LEAST_SHARE = 0.98
# The longer a window, the fewer of them, so that all of it stays within four minutes.
CELLS = (
    *(
        Cell(num_actors=n, window_s=0.2, size=size, num_windows=9, num_steps=3)
        for size in ("480p", "720p")
        for n in ACTORS
    ),
    ASKED,
    *(
        Cell(num_actors=n, window_s=1.0, size=size, num_windows=4, num_steps=3)
        for size, n in (("480p", 2), ("480p", 8), ("720p", 2), ("720p", 4), ("720p", 8))
    ),
    *(
        Cell(num_actors=n, window_s=5.0, size=size, num_windows=2, num_steps=2)
        for size, n in (("720p", 4), ("720p", 8))
    ),
)
QUICK = Cell(num_actors=2, window_s=0.01, size="480p", num_windows=3, num_steps=3)
OBJECT_STORE_BYTES = 3 << 30


def main(words: Sequence[str] | None = None) -> None:
    cells = _asked_for(words)
    outcomes: list[Outcome] = []
    with connected(
        ClusterOptions(num_cpus=max(ACTORS), object_store_memory_bytes=OBJECT_STORE_BYTES)
    ):
        for window_s in sorted({cell.window_s for cell in cells}):
            outcomes += _sample_all([cell for cell in cells if cell.window_s == window_s])
    text = f"{setting('python -m benchmarks.efficiency')}.\n\n{table(outcomes)}"
    text += "".join(_verdict(got) for got in outcomes if got.cell == ASKED)
    print(text)
    if cells is CELLS:
        write_section(FOLDER / "README.md", "table", text)
        plot(outcomes, FOLDER / "efficiency.png")


def _asked_for(words: Sequence[str] | None) -> tuple[Cell, ...]:
    """What the command line chooses; ``CELLS`` if it says nothing."""
    known = sorted({cell.window_s for cell in CELLS})
    parser = command_line(__package__, __doc__)
    parser.add_argument("--quick", action="store_true", help="one short video; prints only")
    about = f"per window, of {', '.join(f'{s:g}' for s in known)}; prints only"
    parser.add_argument("seconds", metavar="SECONDS", nargs="*", type=positive, help=about)
    arguments = parser.parse_args(words)
    for window_s in arguments.seconds:
        if window_s not in known:
            parser.error(f"argument SECONDS: got {window_s:g}, expected one of {known}")
    if arguments.quick:
        return (QUICK,)
    if arguments.seconds:
        return tuple(cell for cell in CELLS if cell.window_s in arguments.seconds)
    return CELLS


def _sample_all(cells: list[Cell]) -> list[Outcome]:
    """Cells with the same time per window, on one gang, which is warmed up first."""
    options = GaussianOptions(window_cost_s=cells[0].window_s)
    engine, outcomes = spec(options), []
    with (
        tempfile.TemporaryDirectory() as folder,
        Gang.gathered(
            EngineOptions(name="gaussian", gaussian=options),
            GangOptions(actors=max(cell.num_actors for cell in cells)),
            StoreConfig(uri=folder),
            "benchmark",
        ) as gang,
    ):
        for cell in cells:
            outcomes.append(sample(gang, engine, cell))
            print(
                f"{cell.window_s:g} s, {cell.size}, {cell.num_actors} actors: "
                f"{100 * outcomes[-1].share:.1f} % of ideal",
                flush=True,
            )
    return outcomes


def _verdict(got: Outcome) -> str:
    verdict = "as asked" if got.share >= LEAST_SHARE else "LESS than asked"
    return (
        f"\n\n{got.cell.num_actors} actors with {got.cell.num_windows} windows or more of "
        f"{got.cell.window_s:g} s at {got.cell.size} reach {100 * got.share:.2f} % of ideal "
        f"(at least {100 * LEAST_SHARE:g} %: {verdict})."
    )


if __name__ == "__main__":
    main()
