"""What a person does to jobs, against a real queue in a folder, with rivals in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import control
from jobs.admission import WINDOW
from jobs.cancelled_videos import CancelledVideos
from jobs.orders import QueueOrders, last_start
from jobs.queue_snapshot import QueueSnapshots
from jobs.submission import settings_of, submit
from pipeline.errors import ConfigError, PausedError, UserError, VideoCancelledError
from storage.job_log import NotAllowedError, state_after
from storage.job_queue import JobQueue, NoSuchJobError
from storage.local import LocalStore
from tests.manifests import SMALL, row, write
from tests.queue.jobs import happened, request

if TYPE_CHECKING:
    from pathlib import Path

NUM_RACES = 30


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(LocalStore(tmp_path / "queue"))


def test_a_job_is_submitted_once_however_often_it_is_asked_for(queue: JobQueue) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = [s.outcome for s in pool.map(lambda _: submit(queue, request("a")), range(8))]
    assert sorted(outcomes) == ["known"] * 7 + ["queued"]
    control.cancel(queue, "a", by="ann")
    again = submit(queue, request("a"))
    assert (again.outcome, again.state) == ("requeued", "queued")


def test_of_a_cancellation_and_a_start_one_is_first_and_the_job_never_runs_on(
    queue: JobQueue,
) -> None:
    for number in range(NUM_RACES):
        job_id = f"j{number}"
        submit(queue, request(job_id))

        def start(job_id: str = job_id) -> str:
            try:
                queue.log(job_id).write("started", by="dispatcher")
            except NotAllowedError:
                return "refused"
            return "started"

        with ThreadPoolExecutor(2) as pool:
            started = pool.submit(start)
            cancelled = pool.submit(control.cancel, queue, job_id, by="ann")
            outcome = started.result(), cancelled.result()
        assert outcome in {("started", "cancelling"), ("refused", "cancelled")}
        assert queue.job(job_id).state == outcome[1]
    assert len({event.number for event in queue.job("j0").events}) == len(queue.job("j0").events)


def test_steering_is_idempotent_and_says_when_it_is_too_late(queue: JobQueue) -> None:
    submit(queue, request("a"))
    assert control.pause(queue, "a", by="ann") == "paused"
    assert control.pause(queue, "a", by="ann") == "paused"
    assert control.resume(queue, "a", by="ann") == "queued"
    log = queue.log("a")
    log.write("started", by="d")
    assert control.pause(queue, "a", by="ann") == "pausing"
    assert control.resume(queue, "a", by="ann") == "running"
    assert control.cancel(queue, "a", by="ann") == "cancelling"
    with pytest.raises(NotAllowedError, match="too late to resume"):
        control.resume(queue, "a", by="ann")
    log.write("cancelled", by="driver")
    assert control.cancel(queue, "a", by="ann") == "cancelled"
    assert control.try_again(queue, "a", by="ann") == "queued"
    with pytest.raises(NoSuchJobError):
        control.cancel(queue, "b", by="ann")


def test_a_person_s_pause_outlasts_the_window_s(queue: JobQueue) -> None:
    submit(queue, request("a"))
    log = queue.log("a")
    log.write("started", by="d")
    log.write("pause_asked", by="d", cause=WINDOW)
    log.write("paused", by="driver", cause=WINDOW)
    assert control.pause(queue, "a", by="ann") == "paused"
    assert [event.event for event in log.events()][-2:] == ["resumed", "paused"]
    assert "cause" not in log.events()[-1].details


def test_a_video_is_found_in_the_manifests_of_jobs_that_have_not_ended(
    queue: JobQueue, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.parquet", [row("dune"), row("storm")])
    two = write(tmp_path / "two.parquet", [row("storm")])
    submit(queue, request("one", manifest=f"file://{one}"))
    submit(queue, request("two", manifest=f"file://{two}"))
    assert control.job_with_video(queue, "dune").request.id == "one"
    with pytest.raises(UserError, match=r"--job: one, two"):
        control.job_with_video(queue, "storm")
    found = control.job_with_video(queue, "storm", "two")
    assert control.cancel_video(queue, found, "storm", by="ann")
    assert not control.cancel_video(queue, found, "storm", by="ann")
    control.cancel(queue, "one", by="ann")
    assert control.job_with_video(queue, "storm").request.id == "two"
    with pytest.raises(NoSuchJobError):
        control.job_with_video(queue, "dune")


def test_a_driver_hears_of_its_orders(queue: JobQueue) -> None:
    submit(queue, request("a"))
    log, cancelled = queue.log("a"), CancelledVideos(queue.store, "a")
    start = log.write("started", by="d").number
    orders = QueueOrders(log, start, cancelled)
    orders.read()
    orders.check()
    orders.check_video("dune")
    cancelled.add("dune", by="ann")
    log.write("pause_asked", by="ann")
    orders.read()
    assert orders.wants_pause()
    with pytest.raises(PausedError):
        orders.check()
    with pytest.raises(VideoCancelledError):
        orders.check_video("dune")
    log.write("lost", by="d")
    log.write("resumed", by="ann")
    assert log.write("started", by="d").number == last_start(log.events())
    orders.read()
    assert orders.is_superseded


def test_a_snapshot_of_the_queue_sees_what_is_new(queue: JobQueue) -> None:
    snapshots = QueueSnapshots(queue)
    assert snapshots.now() == []
    submit(queue, request("a"))
    submit(queue, request("b"))
    assert [job.state for job in snapshots.now()] == ["queued", "queued"]
    control.cancel(queue, "b", by="ann")
    first = snapshots.now()
    assert [job.state for job in first] == ["queued", "cancelled"]
    assert snapshots.now()[0] is first[0]


def test_settings_survive_being_written_down(tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text("quality: {gate: false}\nhooks: {veto: 'check \"a b\" é'}\n")
    config, settings = settings_of(None, [file], [*SMALL, "ray.num_cpus=2"])
    again, same = settings_of(None, [], settings)
    assert settings == same
    assert again.hooks == config.hooks
    assert not again.quality.gate
    assert not any(text.startswith("ray.") for text in settings)
    with pytest.raises(ConfigError, match=r"hooks\.veto"):
        settings_of(None, [], ['hooks.veto=check "a'])


EVENTS = st.sampled_from(
    [
        *("started", "pause_asked", "paused", "resumed", "cancel_asked"),
        *("cancelled", "finished", "failed", "lost", "requeued"),
    ]
)


@given(st.lists(EVENTS, max_size=30))
def test_no_order_of_events_starts_a_job_that_was_cancelled(events: list[str]) -> None:
    """Whatever is written in whatever order, only a new submission leads out of an end."""
    states = [state_after(list(happened(*[(e, 0) for e in events[:n]]))) for n in range(31)]
    for event, before, after in zip(events, states, states[1:], strict=False):
        if before in {"cancelled", "finished", "failed"} and after != before:
            assert (event, after) == ("requeued", "queued")
        if before == "cancelling":
            assert after in {"cancelling", "cancelled", "finished"}
