"""The planner, driven by the simulator: what holds for every manifest, fleet and fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.night.first_come import FirstCome
from pipeline.planning.bound import lower_bound_s, target_s
from pipeline.planning.free_gpus import Node
from pipeline.planning.planner import Planner
from pipeline.planning.simulator import Faults, Night, simulate
from pipeline.planning.task import VideoTask, Work
from tests.pipeline.planning.audit import Audit

GB = 10**9


def work(num_windows: int = 8, **fields: Any) -> Work:
    return Work(
        **{"num_steps": 10, "window_s": 1.0, "max_gang": max(1, num_windows // 2)}
        | {"num_windows": num_windows}
        | fields
    )


def fleet(*sizes: int) -> list[Node]:
    return [Node(f"node-{number}", size) for number, size in enumerate(sizes)]


def render(tasks: list[VideoTask], nodes: list[Node], **options: Any) -> Night:
    return simulate(Planner(), nodes, tasks, keeps_log=True, **options)


WORKS = st.builds(
    work,
    st.integers(1, 40),
    num_steps=st.integers(1, 20),
    window_s=st.sampled_from([0.2, 1.0, 5.0]),
    decode_s=st.sampled_from([0.0, 1.0, 30.0]),
    exchange_s=st.sampled_from([0.0, 0.05]),
    state_bytes=st.sampled_from([0, 4 * GB, 40 * GB]),
    fixed_bytes=st.just(20 * GB),
    kind=st.sampled_from(["a", "b"]),
)
TASKS = st.lists(
    st.tuples(
        *(WORKS, st.integers(-1, 1), st.none() | st.floats(0, 1000), st.sampled_from(["ada", "bo"]))
    ),
    min_size=1,
    max_size=30,
).map(
    lambda rows: [
        VideoTask(id=f"v{n}", work=w, priority=p, deadline_s=d, owner=o)
        for n, (w, p, d, o) in enumerate(rows)
    ]
)
# One node has memory enough for any of them on one GPU.
FLEETS = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from([24 * GB, 80 * GB])), max_size=5
).map(
    lambda rows: [
        Node("large", 2, 80 * GB),
        *(Node(f"node-{n}", size, memory) for n, (size, memory) in enumerate(rows)),
    ]
)
FAULTS = st.builds(
    Faults,
    process_deaths_per_gpu_hour=st.sampled_from([0.0, 20.0]),
    replay_s=st.just(10.0),
    node_losses_per_node_hour=st.sampled_from([0.0, 10.0]),
    node_away_s=st.sampled_from([1.0, 100.0]),
    steps_per_cut=st.integers(1, 4),
    straggler_share=st.sampled_from([0.0, 0.3]),
    straggler_factor=st.just(2.0),
    seed=st.integers(0, 9),
)


@given(TASKS, FLEETS, FAULTS)
@settings(max_examples=60, deadline=None)
def test_no_gpu_twice_every_video_once_memory_and_priorities_kept_whatever_fails(
    tasks: list[VideoTask], nodes: list[Node], faults: Faults
) -> None:
    audit = Audit(Planner())
    night = simulate(audit, nodes, tasks, faults=faults)
    assert audit.num_finished == {task.id: 1 for task in tasks}
    assert set(night.ended_s) == set(audit.num_finished)
    assert not audit.running
    assert not audit.held
    assert night.held_gpu_s >= sum(t.work.gpu_s for t in tasks) * (1 - 1e-9) or any(
        (night.num_broken_gangs, night.num_process_deaths)
    )


@given(TASKS, FLEETS, FAULTS)
@settings(max_examples=30, deadline=None)
def test_the_same_night_is_planned_the_same_way_again(
    tasks: list[VideoTask], nodes: list[Node], faults: Faults
) -> None:
    first, second = (render(tasks, nodes, faults=faults) for _ in range(2))
    starts = [[(a.task.id, a.gpus, a.start_s) for a in night.log] for night in (first, second)]
    assert starts[0] == starts[1]
    assert first.ended_s == second.ended_s


@given(TASKS, FLEETS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_done_before_the_lower_bound(tasks: list[VideoTask], nodes: list[Node]) -> None:
    bound_s = lower_bound_s((t.work for t in tasks), sum(n.num_gpus for n in nodes))
    for rule in (Planner(), FirstCome(1), FirstCome(2)):
        if isinstance(rule, FirstCome) and any(n.memory_bytes < 80 * GB for n in nodes):
            continue  # its gangs may not fit
        night = simulate(rule, nodes, tasks)
        assert night.makespan_s >= bound_s * (1 - 1e-9)


EQUALS = st.lists(WORKS, min_size=1, max_size=40).map(
    lambda works: [VideoTask(id=f"v{n}", work=w) for n, w in enumerate(works)]
)


@given(EQUALS, st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_without_gangs_it_is_at_most_a_third_longer_than_any_schedule(
    tasks: list[VideoTask], num_gpus: int
) -> None:
    """Graham 1969: longest first takes at most 4/3 - 1/(3 m) times what the best schedule does."""
    alone = [
        VideoTask(id=t.id, work=work(t.work.num_windows, window_s=t.work.window_s, max_gang=1))
        for t in tasks
    ]
    ours = render(alone, fleet(num_gpus)).makespan_s
    theirs = simulate(FirstCome(1), fleet(num_gpus), alone).makespan_s
    assert ours <= (4 / 3 - 1 / (3 * num_gpus)) * theirs * (1 + 1e-9)


@given(EQUALS, st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_with_gangs_it_is_never_far_behind_fixed_ones(tasks: list[VideoTask], pairs: int) -> None:
    nodes = [Node(f"node-{n}", 2, 80 * GB) for n in range(pairs)]
    ours = render(tasks, nodes).makespan_s
    best = min(simulate(FirstCome(g), nodes, tasks).makespan_s for g in (1, 2))
    assert ours <= 1.5 * best


@given(EQUALS, st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_the_target_is_no_less_than_the_bound_and_shrinks_with_the_fleet(
    tasks: list[VideoTask], num_gpus: int
) -> None:
    counts: dict[Work, int] = {}
    for task in tasks:
        counts[task.work] = counts.get(task.work, 0) + 1
    found_s = target_s(counts, {}, num_gpus=num_gpus)
    assert found_s >= lower_bound_s((t.work for t in tasks), num_gpus) * (1 - 1e-9)
    assert target_s(counts, {}, num_gpus=2 * num_gpus) <= found_s * (1 + 1e-3)
    slow = target_s(counts, {"a": 2.0, "b": 2.0}, num_gpus=num_gpus)
    assert slow == pytest.approx(2 * found_s, rel=2e-3)


def test_one_video_on_an_idle_fleet_gets_its_widest_gang_on_one_node() -> None:
    night = render([VideoTask(id="a", work=work(16))], fleet(4, 8, 8))
    (only,) = night.log
    assert len(only.gpus) == 8
    assert len({gpu.node for gpu in only.gpus}) == 1
    assert night.makespan_s == 10 * 2


def test_gangs_are_of_one_while_there_is_much_to_do_and_wider_at_the_tail() -> None:
    tasks = [VideoTask(id=f"v{n}", work=work(2 + n % 20)) for n in range(200)]
    many = render(tasks, fleet(8))
    assert {len(each.gpus) for each in many.log[:150]} == {1}
    assert many.makespan_s <= 1.01 * lower_bound_s((t.work for t in tasks), 8)
    few = render([VideoTask(id=f"v{n}", work=work(16)) for n in range(9)], fleet(8))
    assert max(len(each.gpus) for each in few.log) > 1
    assert few.makespan_s < 2 * 160


def test_videos_take_turns_by_priority_then_deadline_then_as_they_came() -> None:
    rows: list[tuple[str, int, float | None]] = [
        *(("plain", 0, None), ("late", 0, 900.0), ("soon", 0, 800.0), ("low", -1, 1.0)),
        *(("high", 2, None), ("also-plain", 0, None), ("urgent", 2, 700.0)),
    ]
    alone = work(3, max_gang=1)
    tasks = [VideoTask(id=i, work=alone, priority=p, deadline_s=d) for i, p, d in rows]
    order = [each.task.id for each in render(tasks, fleet(1)).log]
    assert order == ["urgent", "high", "soon", "late", "plain", "also-plain", "low"]


def test_a_deadline_widens_the_gang_that_would_miss_it() -> None:
    many = [VideoTask(id=f"v{n}", work=work(8)) for n in range(40)]
    wide = render([*many, VideoTask(id="due", work=work(16), deadline_s=45.0)], fleet(8))
    assert wide.ended_s["due"] <= 45.0
    assert len(next(a for a in wide.log if a.task.id == "due").gpus) == 4
    idle = render([*many, VideoTask(id="due", work=work(16), deadline_s=5000.0)], fleet(8))
    assert len(next(a for a in idle.log if a.task.id == "due").gpus) == 1


def test_owners_are_served_in_turn_whoever_asked_for_more() -> None:
    alone = work(4, max_gang=1)
    tasks = [VideoTask(id=f"ada{n}", work=alone, owner="ada") for n in range(100)]
    tasks += [VideoTask(id=f"bo{n}", work=alone, owner="bo") for n in range(10)]
    log = render(tasks, fleet(2)).log
    owners = [each.task.owner for each in log[:20]]
    for count in range(2, 21, 2):
        assert owners[:count].count("bo") == count // 2


def test_estimates_that_were_off_are_corrected_by_kind() -> None:
    """What takes four times as long as was thought goes first as soon as that is known."""
    tasks = [VideoTask(id=f"fast{n}", work=work(6, max_gang=1, kind="fast")) for n in range(20)]
    tasks += [VideoTask(id=f"slow{n}", work=work(4, max_gang=1, kind="slow")) for n in range(20)]
    tasks += [VideoTask(id="slow-first", work=work(4, kind="slow", max_gang=1), priority=1)]
    night = render(tasks, fleet(1), actual=lambda task: 4.0 if "slow" in task.id else 1.0)
    kinds = [each.task.work.kind for each in night.log]
    assert kinds == ["slow"] * 21 + ["fast"] * 20


def test_what_fits_no_gpu_is_named_and_waits_for_a_node_that_has_the_memory() -> None:
    large = VideoTask(id="large", work=work(4, fixed_bytes=60 * GB, max_gang=1))
    small = VideoTask(id="small", work=work(4, fixed_bytes=10 * GB, max_gang=1), priority=-1)
    with pytest.raises(ValueError, match="1 videos wait for GPUs that the fleet has not"):
        render([large, small], [Node("a", 2, 24 * GB)])
    planner = Planner()
    planner.node_joined(Node("a", 2, 24 * GB))
    planner.submit([large, small])
    assert [each.task.id for each in planner.next(0.0)] == ["small"]
    planner.node_joined(Node("b", 1, 80 * GB))
    (found,) = planner.next(1.0)
    assert found.task.id == "large"
    assert found.gpus[0].node == "b"


def test_a_state_that_is_too_large_for_one_gpu_is_shared_out() -> None:
    task = VideoTask(id="a", work=work(8, fixed_bytes=10 * GB, state_bytes=40 * GB))
    others = [VideoTask(id=f"v{n}", work=work(2)) for n in range(80)]
    log = render([task, *others], [Node("a", 8, 24 * GB)]).log
    assert len(next(each for each in log if each.task.id == "a").gpus) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_windows": 0}, "num_windows = 0: expected 1 or more"),
        ({"window_s": float("nan")}, "window_s = nan: expected a finite number, 0 or more"),
        ({"state_bytes": -1}, "state_bytes = -1: expected"),
        ({"max_gang": 0}, "max_gang = 0: expected 1 or more"),
    ],
)
def test_what_is_no_work(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Work(**{"num_windows": 2, "num_steps": 2, "window_s": 1.0} | fields)


def test_what_did_not_happen_is_refused() -> None:
    planner = Planner()
    planner.node_joined(Node("a", 2))
    with pytest.raises(ValueError, match="node 'a' has joined already"):
        planner.node_joined(Node("a", 2))
    with pytest.raises(ValueError, match="node 'b' is not there"):
        planner.node_left("b")
    for happens in (planner.sampled, lambda video: planner.finished(video, 0.0)):
        with pytest.raises(ValueError, match="video 'x' is not running"):
            happens("x")
