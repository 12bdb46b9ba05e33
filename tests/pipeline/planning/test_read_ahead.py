"""A planner that learns of videos as they are read: how far ahead, and what that changes."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from pipeline.planning.bound import lower_bound_s
from pipeline.planning.free_gpus import Node
from pipeline.planning.planner import Planner
from pipeline.planning.read_ahead import LOOK_AHEAD, ReadAhead, num_ahead
from pipeline.planning.simulator import simulate
from pipeline.planning.task import VideoTask, Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.planning.roster import Assignment


def videos(count: int) -> list[VideoTask]:
    rng = random.Random(count)
    sizes = [rng.randint(1, 200) for _ in range(count)]
    works = [Work(num_windows=n, num_steps=10, window_s=0.1, max_gang=n) for n in sizes]
    return [VideoTask(id=f"v{number}", work=each) for number, each in enumerate(works)]


def test_so_many_are_known_as_the_real_fleet_reads_ahead_and_each_is_made_once() -> None:
    num_gpus, num_videos = 8, 1000
    read, ended, most = 0, Counter[str](), 0

    def tasks() -> Iterator[VideoTask]:
        nonlocal read
        for each in videos(num_videos):
            read += 1
            yield each

    def note(assignment: Assignment, end_s: float) -> None:
        nonlocal most
        ended[assignment.task.id] += 1
        most = max(most, read - ended.total())

    night = simulate(ReadAhead(Planner()), [Node("a", num_gpus)], tasks(), on_end=note)
    assert ended == dict.fromkeys((each.id for each in videos(num_videos)), 1)
    assert night.ended_s == {}
    # Those that run, those that were once to be next, and those behind them.
    assert LOOK_AHEAD + num_gpus <= most < 2 * LOOK_AHEAD


def test_a_large_fleet_is_told_of_more() -> None:
    assert [num_ahead(num_gpus) for num_gpus in (0, 8, 16, 17, 1000)] == [64, 64, 64, 68, 4000]
    nodes = [Node(f"n{number}", 8) for number in range(32)]
    work = videos(2560)
    night = simulate(ReadAhead(Planner()), nodes, iter(work))
    # With 64 ahead it would be 1.023.
    assert night.makespan_s <= 1.005 * lower_bound_s([task.work for task in work], 256)


def test_a_list_that_is_read_at_once_is_planned_as_if_there_were_no_reading() -> None:
    nodes = [Node("a", 3)]
    at_once, read = (
        simulate(rule, nodes, videos(LOOK_AHEAD), keeps_log=True)
        for rule in (Planner(), ReadAhead(Planner()))
    )
    assert read.ended_s == at_once.ended_s
    assert [each.gpus for each in read.log] == [each.gpus for each in at_once.log]
