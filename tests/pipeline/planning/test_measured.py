"""What the planner thinks that a video takes, against windows counted segment by segment."""

from __future__ import annotations

import pytest

from jobs.estimate import work_of as counted_work
from pipeline.planning.measured import work_of
from pipeline.segments import max_segments
from tests.plans import MODES, small_gaussian, small_plan


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [5, 101, 301, 801])
def test_a_gang_takes_as_long_as_its_slowest_segments(mode: str, num_frames: int) -> None:
    plan = small_plan(small_gaussian(), num_frames, mode=mode, num_steps=16)
    found = work_of(plan.boundary, plan.num_steps, window_s=0.5, decode_s=3.0)
    assert found.max_gang == max_segments(plan.boundary)
    if mode != "consensus":  # whose segments compute the windows at their borders twice
        assert found.gpu_s == pytest.approx(3.0 + 0.5 * counted_work(plan, 1).num_windows)
        for gang, sampling_s in zip(found.gangs, found.sampling_s, strict=True):
            critical = counted_work(plan, gang).num_critical_windows
            # The cut is in whole cores and the grid moves: a window a step, at most.
            assert abs(sampling_s - 0.5 * critical) <= 0.5 * plan.num_steps
