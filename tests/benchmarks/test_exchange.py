"""The figures of the exchange and efficiency benchmarks, and the processes beside the actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.step_report import StepReport
from benchmarks.efficiency.__main__ import ASKED, CELLS
from benchmarks.efficiency.cell import Cell, Outcome
from benchmarks.efficiency.cell import table as efficiency_table
from benchmarks.efficiency.plot import plot as plot_efficiency
from benchmarks.exchange.figures import MIB, Figures, table
from benchmarks.exchange.peers import Peers
from benchmarks.exchange.plot import plot as plot_exchange
from pipeline.engines.gaussian import GaussianOptions, spec
from pipeline.segments import cut

if TYPE_CHECKING:
    from pathlib import Path


def figures(store_ms: float, memcpy_ms: float, naive_ms: float) -> Figures:
    return Figures(
        num_actors=4,
        num_bytes=8 * MIB,
        store_s=store_ms / 1e3,
        memcpy_s=memcpy_ms / 1e3,
        gloo_s=0.016,
        naive_s=naive_ms / 1e3,
    )


def test_what_is_asked_is_ten_milliseconds_and_three_times_the_copies() -> None:
    assert figures(39.9, 10.0, 80.0).is_within
    assert not figures(40.1, 10.0, 80.0).is_within
    assert figures(40.0, 10.0, 80.0).is_twice_as_fast
    assert not figures(40.0, 10.0, 79.9).is_twice_as_fast
    text = table([figures(39.9, 10.0, 90.0), figures(60.0, 10.0, 130.0)])
    assert "| 4 | 8 MiB | 39.9 | 40.0 | 10.0 | 16.0 | 90.0 | 2.3 |" in text
    assert "1 of 2 (NOT as asked). At least 2 times as fast as naive Ray: 2 of 2 (as asked)" in text
    assert "8 MiB between 4 actors take 60.0 ms a step (at most 40.0: NOT as asked)" in text


def outcome() -> Outcome:
    """Two steps of four segments, of which the first has a window more in the second step."""
    got = Outcome(ASKED)
    for step in range(2):
        for segment in range(4):
            report = StepReport(
                segment=segment,
                step=step,
                compute_s=1.0,
                num_windows=10 if (segment, step) == (0, 1) else 9,
                sent_bytes=MIB * (segment + 1),
            )
            got.on_step(report)
    got.sampling_s = 20.0
    return got


def test_ideal_is_the_windows_of_whoever_has_most() -> None:
    got = outcome()
    assert got.ideal_s == 19.0
    assert got.share == pytest.approx(0.95)
    assert got.evenness == pytest.approx(73 / 4 / 19)
    assert "| 4.0 MiB | 19.0 s | 20.00 s | 95.0 % | 96.1 % |" in efficiency_table([got])


def windows_of(cell: Cell) -> list[list[int]]:
    """How many windows each segment has at each step."""
    plan = cell.plan(spec(GaussianOptions()))
    partition = cut(plan.boundary, cell.num_actors, cell.num_steps)
    return [
        [
            len(plan.boundary.windows(step, partition.owned(step, segment)))
            for step in range(cell.num_steps)
        ]
        for segment in range(partition.num_segments)
    ]


def test_what_is_asked_is_asked_of_four_actors_with_nine_windows_or_more() -> None:
    windows = windows_of(ASKED)
    assert len(windows) == 4
    assert min(count for of_segment in windows for count in of_segment) == 9


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_actor_has_about_the_windows_that_the_cell_says(cell: Cell) -> None:
    windows = windows_of(cell)
    assert len(windows) == cell.num_actors
    counts = [count for of_segment in windows for count in of_segment]
    assert cell.num_windows - 1 <= min(counts) <= max(counts) <= cell.num_windows + 1


def test_both_plots_are_drawn(tmp_path: Path) -> None:
    plot_exchange([figures(39.9, 10.0, 90.0)], tmp_path / "exchange.png")
    plot_efficiency([outcome()], tmp_path / "efficiency.png")
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())


@pytest.mark.slow
def test_processes_copy_and_exchange_what_they_are_asked_to() -> None:
    with Peers(3) as peers:
        for what in ("memcpy", "gloo"):
            assert 0.0 < peers.seconds_per_step(what, 1 << 16, 3) < 60.0
