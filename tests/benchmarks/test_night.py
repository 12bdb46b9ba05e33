from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.night.measurement import PLANNER, fixed, measure
from benchmarks.night.plot import busy
from benchmarks.night.settings import Setting, fleet, videos
from benchmarks.night.tables import nights_table, verdicts
from pipeline.planning.planner import Planner
from pipeline.planning.simulator import simulate


def test_small_nights_are_near_the_bound_and_before_fixed_gangs() -> None:
    calm, few, troubled = (
        measure(setting)
        for setting in (Setting(100, 8), Setting(40, 32), Setting(100, 8, fails=True))
    )
    assert 1.0 <= calm.ratio(PLANNER) <= 1.05
    assert all(each.ratio(PLANNER) < each.best_fixed for each in (calm, few, troubled))
    assert verdicts([calm, few, troubled]).count(": holds") == 3
    assert f"**{calm.ratio(PLANNER):.3f}**" in nights_table([calm])
    assert set(calm.makespan_s) == {PLANNER, *(fixed(gang) for gang in (1, 4, 8))}


def test_busy_gpus_add_up_to_what_was_held() -> None:
    night = simulate(Planner(), fleet(8), videos(30), keeps_log=True)
    times_s, counts = busy(night.log)
    spans_s = [after - before for before, after in pairwise(times_s)]
    held = sum(s * count for s, count in zip(spans_s, counts, strict=False))
    assert held == pytest.approx(night.held_gpu_s)
    assert max(counts) == 8
    assert counts[-1] == 0
