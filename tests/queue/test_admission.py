"""Whose turn it is: pure functions of the queue, under a clock that the test sets."""

from __future__ import annotations

from collections import Counter
from datetime import time, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from jobs.admission import (
    WINDOW,
    AdmissionRules,
    decide,
    held_because,
    is_paused_by_window,
    num_tries,
)
from storage.job_log import ACTIVE
from storage.job_request import NightWindow
from tests.queue.jobs import NOON, happened, job

if TYPE_CHECKING:
    from storage.job_queue import QueuedJob

ONE = AdmissionRules(max_running=1)
NIGHT = NightWindow(not_before=time(22), not_after=time(7), timezone="UTC")
EVENING, MIDNIGHT, MORNING = (NOON + timedelta(hours=h) for h in (9, 12, 19))


def test_higher_priorities_go_first_then_the_oldest() -> None:
    late = (NOON + timedelta(hours=1)).isoformat()
    jobs = [job("a", submitted_at=late), job("b"), job("c", priority=1, submitted_at=late)]
    assert decide(jobs, NOON, AdmissionRules(max_running=3)).start == ["c", "b", "a"]
    assert decide(jobs, NOON, ONE).start == ["c"]


def test_an_owner_of_many_jobs_does_not_keep_others_waiting() -> None:
    jobs = [*(job(f"a{n}") for n in range(5)), job("b0", owner="ben"), job("b1", owner="ben")]
    assert decide(jobs, NOON, AdmissionRules(max_running=4)).start == ["a0", "b0", "a1", "b1"]


def test_who_ran_less_of_the_last_day_goes_first() -> None:
    ran = job("done", ("started", 0), ("finished", 3600), owner="ann")
    jobs = [ran, job("a"), job("b", owner="ben", submitted_at=MIDNIGHT.isoformat())]
    assert decide(jobs, MIDNIGHT, ONE).start == ["b"]
    # What is longer ago is forgotten, and the older job goes first.
    assert decide(jobs, MIDNIGHT + timedelta(days=2), ONE).start == ["a"]


def test_a_window_that_closes_pauses_and_one_that_opens_resumes() -> None:
    waiting = job("w", window=NIGHT)
    assert decide([waiting], EVENING, ONE).start == []
    assert held_because(waiting, EVENING, ONE) == "its window opens at 2026-06-01 22:00 UTC"
    assert decide([waiting], MIDNIGHT, ONE).start == ["w"]

    runs = job("r", ("started", 0), window=NIGHT)
    assert decide([runs], MIDNIGHT, ONE).pause == []
    assert decide([runs], MORNING, ONE).pause == ["r"]

    by_window = ("pause_asked", 10, {"cause": WINDOW})
    asked = job("r", ("started", 0), by_window, window=NIGHT)
    paused = job("r", ("started", 0), by_window, ("paused", 20), window=NIGHT)
    lost = job("r", ("started", 0), by_window, ("lost", 20), window=NIGHT)
    for stopped in (asked, paused, lost):
        assert is_paused_by_window(stopped)
        assert decide([stopped], MORNING, ONE).resume == []
        assert decide([stopped], MIDNIGHT, ONE).resume == ["r"]


def test_what_a_person_paused_stays_paused() -> None:
    by_person = job("p", ("started", 0), ("pause_asked", 10), ("paused", 20), window=NIGHT)
    while_queued = job("q", ("paused", 10), window=NIGHT)
    after_window = job(
        "a",
        ("started", 0),
        ("pause_asked", 10, {"cause": WINDOW}),
        ("paused", 20, {"cause": WINDOW}),
        ("resumed", 30),
        ("paused", 40),
        window=NIGHT,
    )
    assert decide([by_person, while_queued, after_window], MIDNIGHT, ONE).resume == []


def test_a_job_above_its_cap_waits_and_keeps_nobody_waiting() -> None:
    jobs = [job("big", max_gpu_hours=2.0), job("small", max_gpu_hours=2.0)]
    hours = {"big": 2.5, "small": 1.5}
    assert decide(jobs, NOON, ONE, lambda r: hours[r.id]).start == ["small"]
    held = held_because(jobs[0], NOON, ONE, lambda r: hours[r.id])
    assert held == "estimated at 2.5 GPU-hours, above its cap of 2"


def test_a_job_that_lost_drivers_waits_longer_each_time() -> None:
    rules = AdmissionRules(backoff_s=10.0, max_backoff_s=25.0)
    events = []
    for tries, pause_s in enumerate((10, 20, 25, 25), 1):
        at_s = 100.0 * tries
        events += [("started", at_s - 1), ("lost", at_s, {"counts": True})]
        lost = job("l", *events)
        assert num_tries(lost.events) == tries
        assert decide([lost], NOON + timedelta(seconds=at_s + pause_s - 1), rules).start == []
        assert decide([lost], NOON + timedelta(seconds=at_s + pause_s), rules).start == ["l"]
    assert num_tries(happened(*events, ("failed", 900), ("requeued", 901))) == 0
    # The head died, which is no fault of the job's.
    gone = job("g", ("started", 0), ("lost", 5))
    assert decide([gone], NOON + timedelta(seconds=5), rules).start == ["g"]


HISTORIES = st.sampled_from(
    [
        (),
        (("started", 1),),
        (("started", 1), ("pause_asked", 2)),
        (("started", 1), ("cancel_asked", 2)),
        (("started", 1), ("finished", 2)),
        (("started", 1), ("lost", 2, {"counts": True})),
        (("paused", 1),),
        (("cancelled", 1),),
    ]
)


@st.composite
def queues(draw: st.DrawFn) -> list[QueuedJob]:
    """Any queue of up to eight jobs."""
    return [
        job(
            f"j{number}",
            *draw(HISTORIES),
            owner=draw(st.sampled_from(["ann", "ben", "eve"])),
            priority=draw(st.integers(-1, 1)),
            window=draw(st.sampled_from([None, NIGHT])),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@given(queues(), st.integers(1, 5), st.sampled_from([NOON, MIDNIGHT]))
def test_no_decision_exceeds_the_room_or_starts_what_may_not_start(
    jobs: list[QueuedJob], max_running: int, now: object
) -> None:
    assert now in {NOON, MIDNIGHT}
    moment = NOON if now == NOON else MIDNIGHT
    rules = AdmissionRules(max_running=max_running)
    started = decide(jobs, moment, rules).start
    by_id = {each.request.id: each for each in jobs}
    active = [each for each in jobs if each.state in ACTIVE]
    may = [
        each for each in jobs if each.state == "queued" and not held_because(each, moment, rules)
    ]
    room = max(0, max_running - len(active))
    # Room is never left empty while somebody may use it, and never given twice.
    assert len(started) == len(set(started)) == min(room, len(may))
    assert {by_id[name].state for name in started} <= {"queued"}
    assert all(not held_because(by_id[name], moment, rules) for name in started)
    # Nobody of a lower priority went before somebody of a higher one.
    left = [each.request.priority for each in may if each.request.id not in started]
    if left and started:
        assert min(by_id[name].request.priority for name in started) >= max(left)


@given(st.lists(st.sampled_from(["ann", "ben", "eve"]), min_size=1, max_size=12))
def test_of_equal_jobs_nobody_gets_two_places_before_another_gets_one(owners: list[str]) -> None:
    jobs = [job(f"j{n:02d}", owner=owner) for n, owner in enumerate(owners)]
    started = decide(jobs, NOON, AdmissionRules(max_running=len(set(owners)))).start
    by_id = {each.request.id: each.request.owner for each in jobs}
    assert set(Counter(by_id[name] for name in started).values()) == {1}
