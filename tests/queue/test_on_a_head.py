"""The queue against a Ray head that was started as its own process, with its token.

One head and one dispatcher serve all; the dispatcher is a process of its own, as a service would
be, so it outlives the head.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from storage.job_queue import JobQueue
from storage.open import open_store
from tests.manifests import SMALL, row, write
from tests.queue.ray_head import MARK, ray_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.queue.ray_head import RayHead

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(900)]

PATIENCE_S = 240.0
VIDEOS = ("first", "second")
SETTINGS = (
    *SMALL,
    # Slow enough that a command, which takes a second or two to start, meets a step.
    "engine.gaussian.window_cost_s=0.2",
    "checkpoint.every_steps=2",
    "output.keep_latents=always",
    "lease.ttl_s=3",
)


class Night:
    """A head, a dispatcher, a manifest of two videos, and the command line."""

    def __init__(self, folder: Path, head: RayHead) -> None:
        self.folder, self.head = folder, head
        self.queue_uri = str(folder / "queue")
        self.queue = JobQueue(open_store(self.queue_uri))
        self.environment = {k: v for k, v in head.environment.items() if k != MARK}
        rows = [
            row(VIDEOS[0], num_frames=201, num_inference_steps=16, seed=3),
            row(VIDEOS[1], num_inference_steps=4, seed=3),
        ]
        self.manifest = write(folder / "manifest.parquet", rows)

    def command(self, *arguments: str) -> list[str]:
        name, *others = arguments
        return [sys.executable, "-m", "jobs.cli", "-v", name, "--queue", self.queue_uri, *others]

    def nightreel(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout.strip()

    def submit(self, name: str, *settings: str) -> str:
        out = str(self.folder / name)
        return self.nightreel("submit", str(self.manifest), "--output", out, *SETTINGS, *settings)

    def state(self, job: str) -> str:
        return self.queue.job(job).state

    def events(self, job: str) -> list[str]:
        return [event.event for event in self.queue.job(job).events]

    def told(self, job: str) -> str:
        return self.nightreel("logs", job)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            said = (self.folder / "dispatcher.log").read_text()
            assert time.monotonic() < end_s, f"no {what} in {PATIENCE_S:g} s:\n{said}"
            time.sleep(0.1)

    def wait_for_cut(self, name: str) -> None:
        """Until a video of a job has a whole snapshot in mid-video."""
        cuts = self.folder / name / "checkpoints" / VIDEOS[0]
        self.wait(lambda: any(cuts.glob("*/*.json")), "snapshot")

    def assert_same_films(self, name: str, calm: str) -> None:
        for video in VIDEOS:
            (film,) = (self.folder / name).glob(f"videos/{video}/*.mp4")
            (other,) = (self.folder / calm).glob(f"videos/{video}/*.mp4")
            assert film.read_bytes() == other.read_bytes()
            records = (self.folder / name).glob(f"ledger/{video}/*.json")
            states = [json.loads(path.read_bytes())["state"] for path in records]
            assert states == ["rendered"]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    with ray_head(folder) as head, (folder / "dispatcher.log").open("ab") as said:
        night = Night(folder, head)
        dispatcher = subprocess.Popen(
            night.command("dispatch", "--address", head.address),
            env=night.environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            yield night
        finally:
            dispatcher.terminate()
            assert dispatcher.wait(60) == 130
            sys.stdout.write((folder / "dispatcher.log").read_text())


@pytest.fixture(scope="module")
def calm(night: Night) -> str:
    """The output of a job that nobody disturbed."""
    job = night.submit("calm")
    night.nightreel("watch", job)
    # The same once more is the same job, and changes nothing.
    assert night.submit("calm") == job
    assert night.events(job) == ["started", "finished"]
    return "calm"


@pytest.mark.longest
def test_a_job_cancelled_before_it_starts_never_does(night: Night) -> None:
    # Its window opens in half a day, for a minute.
    noon = datetime.now(UTC) + timedelta(hours=12)
    window = (f"{noon:%H:%M}", f"{noon + timedelta(minutes=1):%H:%M}")
    job = night.submit("never", "--not-before", window[0], "--not-after", window[1])
    time.sleep(3)
    assert night.state(job) == "queued"
    assert "its window opens at" in night.nightreel("list")
    assert night.nightreel("cancel", job).endswith("cancelled")
    assert night.events(job) == ["cancelled"]
    night.nightreel("watch", job, code=130)
    assert not list((night.folder / "never").glob("videos/*/*"))


def test_a_cancellation_wins_against_a_start_under_way(night: Night) -> None:
    job = night.submit("early")
    night.wait(lambda: night.state(job) == "running", "start")
    assert night.nightreel("cancel", job).endswith("cancelling")
    night.nightreel("watch", job, code=130)
    assert night.events(job) == ["started", "cancel_asked", "cancelled"]
    assert night.head.actors() == []
    assert not list((night.folder / "early").glob("videos/*/*"))


def test_cancelling_a_running_job_ends_every_actor_of_it(night: Night) -> None:
    job = night.submit("late")
    night.wait_for_cut("late")
    assert len(night.head.actors()) == 2
    began_s = time.monotonic()
    night.nightreel("cancel", job)
    night.nightreel("watch", job, code=130)
    assert time.monotonic() - began_s < 60
    night.wait(lambda: night.head.actors() == [], "end of the actors")
    assert night.events(job) == ["started", "cancel_asked", "cancelled"]


def test_a_job_paused_in_mid_render_gives_the_same_bits(night: Night, calm: str) -> None:
    job = night.submit("paused")
    night.wait_for_cut("paused")
    assert night.nightreel("pause", job).endswith("pausing")
    night.wait(lambda: night.state(job) == "paused", "pause")
    night.wait(lambda: night.head.actors() == [], "end of the actors")
    assert not list((night.folder / "paused").glob("videos/first/*.mp4"))
    time.sleep(3)
    assert night.state(job) == "paused"
    assert night.nightreel("resume", job).endswith("queued")
    night.nightreel("watch", job)
    stopped = ["started", "pause_asked", "paused", "resumed"]
    assert night.events(job) == [*stopped, "started", "finished"]
    assert "from the snapshot at step" in night.told(job)
    night.assert_same_films("paused", calm)


@pytest.mark.longest
def test_a_cancelled_video_is_left_out_by_name(night: Night) -> None:
    job = night.submit("without")
    night.nightreel("cancel", "second", "--job", job)
    night.nightreel("watch", job, code=3)
    shown = json.loads(night.nightreel("status", job, "--json", code=3))
    videos = {video["id"]: video for video in shown["videos"]}
    assert videos["first"]["state"] == "rendered"
    assert videos["second"]["reason"].startswith("VideoCancelledError")
    assert shown["job"]["exit_code"] == 3


def test_a_head_that_is_killed_costs_no_job(night: Night, calm: str) -> None:
    job = night.submit("headless")
    night.wait_for_cut("headless")
    night.head.kill()
    assert night.state(job) == "running"
    night.head.start()
    night.nightreel("watch", job)
    assert night.events(job) == ["started", "lost", "started", "finished"]
    assert "from the snapshot at step" in night.told(job)
    night.assert_same_films("headless", calm)
