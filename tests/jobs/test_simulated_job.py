"""What a job takes on a virtual clock: against closed forms, bounds, and the simplest of plans."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobs.estimate import Pace, work_of
from jobs.planned_work import EXCHANGE_S, PlannedWork
from jobs.simulated_job import SimulatedJob, simulate_job
from pipeline.errors import ConfigError
from pipeline.planning.bound import lower_bound_s
from tests.plans import MODES, small_gaussian, small_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.plan import VideoPlan

PACE = Pace(
    source="measured",
    hardware="H100",
    origin="test",
    window_s_per_cost=0.05,
    tail_s_per_pixel=1e-4,
    bytes_per_pixel=0.25,
)


def plan(num_frames: int, *, video: str = "clip", mode: str = "halo", **asked: int) -> VideoPlan:
    found = small_plan(small_gaussian(), num_frames, mode=mode, **asked)
    return replace(found, request=replace(found.request, id=video))


def several(lengths: Sequence[int]) -> list[VideoPlan]:
    return [plan(frames, video=f"v{number}") for number, frames in enumerate(lengths)]


def simulated(plans: Sequence[VideoPlan], num_actors: int, gang: int | None = None) -> SimulatedJob:
    return simulate_job(plans, PlannedWork(PACE, lambda: 0.0, lambda: 0.0, gang), num_actors)


def sampling_s(plan: VideoPlan, num_actors: int) -> float:
    work = work_of(plan, num_actors)
    return work.num_critical_windows * work.window_cost * PACE.window_s_per_cost


def tail_s(plan: VideoPlan) -> float:
    return work_of(plan, 1).num_pixels * PACE.tail_s_per_pixel


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [5, 101, 801])
def test_one_video_on_one_actor_takes_its_windows_and_its_tail(mode: str, num_frames: int) -> None:
    one = plan(num_frames, mode=mode)
    found = simulated([one], 1)
    closed_form_s = sampling_s(one, 1) + tail_s(one)
    print(f"{mode}, {num_frames} frames: {found.makespan_s:.6f} s, {closed_form_s:.6f} s")
    assert found.makespan_s == pytest.approx(closed_form_s)
    assert (found.bound_s, found.longest_s) == pytest.approx((closed_form_s, closed_form_s))
    assert found.works == {work_of(one, 1): 1}


def test_of_many_steps_the_grid_s_mean_is_taken() -> None:
    one = plan(801, num_steps=50)
    assert simulated([one], 1).makespan_s == pytest.approx(
        sampling_s(one, 1) + tail_s(one), rel=0.002
    )


def test_the_delivery_of_a_gang_s_video_goes_on_on_one_actor() -> None:
    one = plan(801)
    found = simulated([one], 4, gang=4)
    assert found.works == {work_of(one, 4): 1}
    expected_s = sampling_s(one, 4) + tail_s(one) + one.num_steps * EXCHANGE_S
    # The planner's shares are even, the cut is in whole cores.
    window_s = work_of(one, 1).window_cost * PACE.window_s_per_cost
    assert abs(found.makespan_s - expected_s) <= one.num_steps * window_s
    assert found.bound_s < found.makespan_s
    assert found.longest_s <= found.makespan_s


@pytest.mark.parametrize("num_actors", [1, 2, 3, 8])
@pytest.mark.parametrize("num_videos", [1, 8, 9, 100, 1000])
def test_equal_videos_take_their_turns(num_videos: int, num_actors: int) -> None:
    one = plan(101)
    alone_s = simulated([one], 1).makespan_s
    found = simulated(several([101] * num_videos), num_actors)
    turns_s = math.ceil(num_videos / num_actors) * alone_s
    print(f"{num_videos} on {num_actors}: {found.makespan_s:.2f} s, in turns {turns_s:.2f} s")
    assert found.works.total() == num_videos
    # Who does not see the end coming gives a video two actors now and then, whose exchange costs.
    assert found.bound_s * (1 - 1e-9) <= found.makespan_s <= turns_s * 1.005
    assert found.makespan_s > turns_s - alone_s


def test_short_videos_take_what_the_bound_says_or_more_and_less_than_one_after_another() -> None:
    rng, worst, best = random.Random(7), 0.0, math.inf
    for _ in range(40):
        num_actors = rng.randint(2, 8)
        plans = several([rng.randint(20, 200) for _ in range(rng.randint(8, 80))])
        found = simulated(plans, num_actors)
        work = PlannedWork(PACE, lambda: 0.0, lambda: 0.0)
        bound_s = lower_bound_s((work.task(each).work for each in plans), num_actors)
        in_turn_s = sum(sampling_s(each, num_actors) + tail_s(each) for each in plans)
        assert found.bound_s == pytest.approx(bound_s)
        assert bound_s * (1 - 1e-9) <= found.makespan_s <= in_turn_s
        worst = max(worst, found.makespan_s / bound_s)
        best = min(best, found.makespan_s / in_turn_s)
    print(f"at most {worst:.3f} times the bound, at least {best:.3f} times one after another")
    assert worst < 1.3


def test_the_longest_video_is_named_and_by_itself_it_takes_less() -> None:
    found = simulated(several([101, 801, 101]), 2)
    assert found.longest_id == "v1"
    assert found.longest_s == pytest.approx(simulated([plan(801)], 2).makespan_s)
    assert found.longest_s < found.makespan_s


def test_what_is_urgent_goes_first_and_who_is_late_is_counted() -> None:
    alone_s = simulated([plan(101)], 1).makespan_s
    due_s = (1.5 * alone_s, 2.5 * alone_s, 3.5 * alone_s)
    deadlines = [datetime.fromtimestamp(each_s, UTC).isoformat() for each_s in due_s]

    def num_late(order: Sequence[int], priority: int) -> int:
        plans = several([101, 101, 101])
        asked = [
            replace(each, request=replace(each.request, deadline=deadlines[which]))
            for each, which in zip(plans, order, strict=True)
        ]
        urgent = replace(asked[0], request=replace(asked[0].request, priority=priority))
        return simulated([urgent, *asked[1:]], 1).num_late

    # In whatever order they are read; but whoever is due last and goes first makes the others late.
    assert num_late((0, 1, 2), 0) == num_late((2, 1, 0), 0) == 0
    assert num_late((2, 1, 0), 1) == 2


def test_a_gang_that_there_is_no_room_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="'clip' is to have 4 actors, and there is room for 2"):
        simulated([plan(801)], 2, gang=4)


def test_no_videos_take_no_time() -> None:
    assert simulated([], 2) == SimulatedJob()
