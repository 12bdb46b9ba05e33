"""When silence counts as hanging, and when snapshots are due: no Ray, no waiting."""

from __future__ import annotations

from actors.losses import Losses
from actors.retained import RetainedBoundaries
from actors.watchdog import MAX_LOOK_S, PATIENCE, LearnedLimit, Watchdog


def test_a_limit_is_learned_between_a_floor_and_a_ceiling() -> None:
    limit = LearnedLimit(at_most_s=100.0, at_least_s=2.0)
    assert limit.limit_s == 100.0
    for duration_s in (0.01, 0.02, 0.03):
        limit.learn(duration_s)
    assert limit.limit_s == 2.0
    for _ in range(20):
        limit.learn(1.0)
    assert limit.limit_s == PATIENCE
    for _ in range(200):
        limit.learn(50.0)
    assert limit.limit_s == 100.0


def test_a_stopwatch_runs_only_while_the_same_work_is_owed() -> None:
    dog = Watchdog()
    assert dog.look({0: "step 1", 1: "step 1"}, 10.0) == {0: 0.0, 1: 0.0}
    assert dog.look({0: "step 1", 1: "step 2"}, 12.0) == {0: 2.0, 1: 0.0}
    assert dog.look({0: "step 1"}, 13.0) == {0: 3.0}
    assert dog.look({0: "step 1", 1: "step 2"}, 14.0) == {0: 4.0, 1: 0.0}


def test_a_driver_that_slept_blames_nobody_for_it() -> None:
    dog = Watchdog()
    dog.look({0: "step 1"}, 0.0)
    assert dog.look({0: "step 1"}, 3600.0) == {0: MAX_LOOK_S}


def test_a_step_may_cost_so_many_processes_and_a_snapshot_so_many_returns() -> None:
    losses = Losses(max_deaths=3, max_returns=2)
    assert [losses.died(1, 4) for _ in range(3)] == [True, True, False]
    assert losses.died(1, 5)
    assert losses.died(2, 4)
    assert losses.deaths == 5
    assert [losses.returned(6) for _ in range(3)] == [True, True, False]
    assert losses.returned(8)


def test_what_depends_on_a_step_that_died_is_let_go_of_and_what_is_finished_stays() -> None:
    kept = RetainedBoundaries()
    for segment in range(4):
        for step in range(6):
            kept.put(segment, step, object())  # type: ignore[arg-type]
            kept.measured(segment, step, 10)
    kept.drop_cone(1, 2, finished=[4, 2, 2, 6])
    left = {(s, k) for s in range(4) for k in range(6) if kept.get(s, k) is not None}
    assert left == {
        *((0, k) for k in range(4)),
        *((1, k) for k in range(2)),
        *((2, k) for k in range(3)),
        *((3, k) for k in range(6)),
    }
    assert kept.num_bytes == 10 * len(left)
    kept.forget_before(2)
    assert kept.num_bytes == 10 * len([key for key in left if key[1] >= 2])
    assert kept.max_bytes == 240
