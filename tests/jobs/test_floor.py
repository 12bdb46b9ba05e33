"""Turns on the floor: who samples where, who delivers, who waits, and what ends the waiting."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from actors.pause import never
from jobs.floor import Floor
from pipeline.errors import ClusterError, PausedError
from pipeline.planning.task import VideoTask, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from jobs.floor import Turn

PATIENCE_S = 20.0


def work(num_windows: int = 1) -> Work:
    return Work(num_windows=num_windows, num_steps=10, window_s=1.0, max_gang=num_windows)


def task(name: str, num_windows: int = 1) -> VideoTask:
    return VideoTask(id=name, work=work(num_windows))


class Told:
    """A floor whose cluster has these places, and what it said."""

    def __init__(self, nodes: Mapping[int, str], clock: Callable[[], float] = lambda: 0.0) -> None:
        self.nodes, self.gathered = nodes, 0
        self.videos: list[str] = []
        self.floor = Floor(self._gather, lambda task: self.videos.append(task.id), clock)

    def _gather(self) -> Mapping[int, str]:
        self.gathered += 1
        return self.nodes

    def turn(self, task: VideoTask) -> Turn:
        return self.floor.turn(task, never)


def is_waiting(future: Future[object]) -> bool:
    time.sleep(0.05)
    return not future.done()


def submit(told: Told, *tasks: VideoTask) -> None:
    told.floor.submit(tasks)


def test_nothing_is_gathered_before_a_video_waits() -> None:
    told = Told({0: "n"})
    assert (told.gathered, told.floor.num_places) == (0, 0)
    submit(told, task("a"))
    assert (told.gathered, told.floor.num_places, told.videos) == (1, 1, ["a"])


def test_a_delivery_keeps_a_thread_and_not_a_place_and_no_place_has_two() -> None:
    told, (a, b, c) = Told({0: "n", 1: "n"}), map(task, "abc")
    submit(told, a, b, c)
    assert sorted(told.videos) == ["a", "b"]
    first, second = told.turn(a), told.turn(b)
    assert {*first.places, *second.places} == {0, 1}

    place = told.floor.hand_on(first, never)
    assert (first.places, first.deliverer) == ((), place)
    third = told.turn(c)
    assert third.places == (place,)
    with ThreadPoolExecutor() as pool:
        handed = pool.submit(told.floor.hand_on, third, never)
        assert is_waiting(handed)
        told.floor.leave(a)
        assert handed.result(PATIENCE_S) == place
    told.floor.leave(c)
    told.floor.leave(b)


def test_the_last_video_gets_all_places_and_any_of_them_delivers() -> None:
    told = Told({0: "n", 1: "n", 2: "n"})
    submit(told, task("a", 3))
    last = told.turn(task("a", 3))
    assert last.places == (0, 1, 2)
    assert told.floor.hand_on(last, never) in {0, 1, 2}
    submit(told, task("b", 3))
    assert told.turn(task("b", 3)).places == (0, 1, 2)


def test_no_place_ever_has_two_of_the_same_and_everybody_gets_a_turn() -> None:
    told, rng = Told(dict.fromkeys(range(3), "n"), time.monotonic), random.Random(4)
    tasks = [task(f"v{number:02}", rng.randint(1, 6)) for number in range(40)]
    pauses_s = {each.id: (rng.uniform(0, 0.01), rng.uniform(0, 0.01)) for each in tasks}
    sampling, delivering, lock = set[int](), set[int](), threading.Lock()

    def enter(who: set[int], places: Iterable[int]) -> None:
        with lock:
            assert not who.intersection(places)
            who.update(places)

    def leave(who: set[int], places: Iterable[int]) -> None:
        with lock:
            who.difference_update(places)

    def video(each: VideoTask) -> int:
        turn = told.turn(each)
        places = turn.places
        enter(sampling, places)
        time.sleep(pauses_s[each.id][0])
        if rng.random() < 0.2:
            leave(sampling, places)
            told.floor.leave(each)
            return len(places)
        leave(sampling, places)
        place = told.floor.hand_on(turn, never)
        enter(delivering, [place])
        time.sleep(pauses_s[each.id][1])
        leave(delivering, [place])
        told.floor.leave(each, is_done=True)
        return len(places)

    submit(told, *tasks)
    with ThreadPoolExecutor(len(tasks)) as pool:
        gangs = list(pool.map(video, tasks, timeout=PATIENCE_S))
    assert len(gangs) == len(tasks)
    assert min(gangs) == 1
    assert sorted(told.videos) == [each.id for each in tasks]
    assert told.gathered == 1


def test_who_wants_no_company_waits_for_the_delivery_before_it() -> None:
    told, a, b = Told({0: "n"}), task("a"), task("b")
    submit(told, a, b)
    told.floor.hand_on(told.turn(a), never)
    with ThreadPoolExecutor() as pool:
        cleared = pool.submit(told.floor.clear, told.turn(b), never)
        assert is_waiting(cleared)
        told.floor.leave(a)
        cleared.result(PATIENCE_S)


def test_alone_means_that_all_others_are_done_and_then_others_are_gathered() -> None:
    told, a, b, c = Told({0: "n", 1: "n"}), task("a"), task("b"), task("c")
    submit(told, a, b, c)
    first = told.turn(a)
    told.turn(b)
    told.floor.hand_on(first, never)
    told.turn(c)
    inside, done = threading.Event(), threading.Event()

    def by_itself() -> None:
        with told.floor.alone(a, never):
            inside.set()
            assert done.wait(PATIENCE_S)

    with ThreadPoolExecutor() as pool:
        alone = pool.submit(by_itself)
        told.floor.leave(b)
        assert is_waiting(alone)
        assert not inside.is_set()
        told.floor.leave(c)
        assert inside.wait(PATIENCE_S)
        submit(told, task("d"))
        assert told.videos.count("d") == 0
        done.set()
        alone.result(PATIENCE_S)
    assert told.videos[-1] == "d"
    assert told.gathered == 2


@pytest.mark.parametrize("what", ["turn", "hand_on"])
def test_who_waits_is_told_of_a_pause_and_of_the_end(what: str) -> None:
    told, a, b = Told({0: "n"}), task("a"), task("b")
    submit(told, a, b)
    first = told.turn(a)
    wanted = threading.Event()

    def wait() -> object:
        if what == "turn":
            return told.floor.turn(b, wanted.is_set)
        return told.floor.hand_on(second, wanted.is_set)

    if what == "hand_on":
        told.floor.hand_on(first, never)
        second = told.turn(b)
    with ThreadPoolExecutor() as pool:
        paused = pool.submit(wait)
        assert is_waiting(paused)
        wanted.set()
        with pytest.raises(PausedError, match="video 'b': paused before"):
            paused.result(PATIENCE_S)
        wanted.clear()
        stopped = pool.submit(wait)
        assert is_waiting(stopped)
        told.floor.close()
        with pytest.raises(ClusterError, match="being stopped"):
            stopped.result(PATIENCE_S)
    told.floor.leave(b)
    assert told.videos == (["a"] if what == "turn" else ["a", "b"])


def test_a_video_that_is_not_wanted_any_more_gets_no_turn() -> None:
    told, a, b, c = Told({0: "n"}), task("a"), task("b"), task("c")
    submit(told, a, b, c)
    told.floor.leave(b)
    told.floor.leave(b)
    told.floor.leave(a)
    assert told.videos == ["a", "c"]


def test_nodes_go_and_their_places_come_again_elsewhere() -> None:
    told = Told({0: "near", 1: "near", 2: "far"})
    a, b, c = task("a"), task("b"), task("c")
    submit(told, a, b, c)
    far = next(each for each in (a, b, c) if told.turn(each).places == (2,))
    told.floor.look_around({0: "near", 1: "near"})
    assert told.floor.num_places == 2
    told.floor.leave(far)
    submit(told, task("d"))
    assert "d" not in told.videos
    told.floor.look_around({0: "near", 1: "near", 2: "new"})
    assert told.turn(task("d")).places == (2,)
    assert told.gathered == 1


def test_a_gang_that_is_larger_than_the_fleet_is_refused() -> None:
    wanted = Work(num_windows=3, num_steps=1, window_s=1.0, max_gang=3, min_gang=3)
    with pytest.raises(ClusterError, match="'a': it is to have 3 actors, and there are 2"):
        submit(Told({0: "n", 1: "n"}), VideoTask(id="a", work=wanted))


def test_a_gang_that_is_wanted_is_had_though_others_wait() -> None:
    told = Told({0: "n", 1: "n"})
    wanted = Work(num_windows=8, num_steps=1, window_s=1.0, max_gang=2, min_gang=2)
    submit(told, *(VideoTask(id=name, work=wanted) for name in "abc"))
    assert told.videos == ["a"]
    assert told.turn(VideoTask(id="a", work=wanted)).places == (0, 1)


def test_when_all_nodes_are_gone_actors_are_gathered_anew() -> None:
    told, a, b = Told({0: "n"}), task("a"), task("b")
    submit(told, a, b)
    told.turn(a)
    told.floor.look_around({})
    told.nodes = {0: "other"}
    told.floor.leave(a)
    assert told.turn(b).places == (0,)
    assert told.gathered == 2
