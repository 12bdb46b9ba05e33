"""The queue against a Ray head that was started as its own process, with its token.

One head and one dispatcher serve all; the dispatcher is a process of its own, as a service would
be, so it outlives the head.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from storage.job_queue import JobQueue
from storage.open import open_store
from tests.manifests import SMALL, row, write
from tests.queue.ray_head import MARK, ROOT, ray_head

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
        self.dispatchers: list[subprocess.Popen[bytes]] = []
        rows = [
            row(VIDEOS[0], num_frames=201, num_inference_steps=16, seed=3),
            row(VIDEOS[1], num_inference_steps=4, seed=3),
        ]
        self.manifest = write(folder / "manifest.parquet", rows)

    def dispatch(self) -> subprocess.Popen[bytes]:
        """One dispatcher more; what it says goes to where the others' words are."""
        with (self.folder / "dispatcher.log").open("ab") as said:
            process = subprocess.Popen(
                self.command("dispatch", "--address", self.head.address),
                env=self.environment,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self.dispatchers.append(process)
        return process

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
    with ray_head(folder) as head:
        night = Night(folder, head)
        night.dispatch()
        try:
            yield night
        finally:
            for dispatcher in night.dispatchers:
                dispatcher.terminate()
            ended = [dispatcher.wait(60) for dispatcher in night.dispatchers]
            sys.stdout.write((folder / "dispatcher.log").read_text())
        assert set(ended) <= {130, -signal.SIGKILL}


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


@pytest.mark.longest
def test_a_dispatcher_that_is_killed_is_followed_by_the_one_that_stands_by(night: Night) -> None:
    first = night.dispatchers[-1]
    second = night.dispatch()
    said = night.folder / "dispatcher.log"
    night.wait(lambda: "standing by" in said.read_text(), "stand-by")
    before = said.read_text().count("dispatching ")
    one = night.submit("followed")
    night.wait(lambda: night.state(one) == "running", "start")
    first.kill()
    night.wait(lambda: said.read_text().count("dispatching ") == before + 1, "take-over")
    assert second.poll() is None
    # The job that ran was nobody's business meanwhile, and the next one is the second's.
    night.nightreel("watch", one)
    assert night.events(one) == ["started", "finished"]
    two = night.submit("next", "prompts.transition_s=2")
    night.nightreel("watch", two)
    assert night.events(two) == ["started", "finished"]


SHIPPED = """
import json, os, pathlib, sys
told = json.load(sys.stdin)
told |= {"greeting": os.environ["GREETING"], "code": str(pathlib.Path(__file__).parent)}
pathlib.Path(sys.argv[1]).write_text(json.dumps(told))
"""
REFUSE = "import json, sys; print('not this one'); sys.exit(json.load(sys.stdin)['id'] == 'second')"


@pytest.mark.longest
def test_code_is_sent_along_to_a_cluster_that_has_another_release(night: Night) -> None:
    """From an empty folder; dispatcher, driver and hooks run it, with the environment as asked."""
    release, empty = night.folder / "release", night.folder / "empty"
    for package in ("pipeline", "actors", "storage", "jobs"):
        shutil.copytree(ROOT / package, release / package, ignore=shutil.ignore_patterns("__py*"))
    # Part of that release and of no other.
    (release / "jobs" / "shipped.py").write_text(SHIPPED)
    empty.mkdir()
    environment = empty / "environment.yaml"
    environment.write_text("env_vars: {GREETING: from far away}\n")
    told = night.folder / "told.json"
    hook = shlex.join([sys.executable, "-m", "jobs.shipped", str(told)])
    refuse = shlex.join([sys.executable, "-c", REFUSE])
    queue = str(night.folder / "queue of its own")
    settings = (*SETTINGS, f"hooks.on_finished={json.dumps(hook)}")
    words = [
        *(sys.executable, "-m", "jobs.cli", "submit", str(night.manifest), "--queue", queue),
        *("--output", str(night.folder / "shipped"), "--address", night.head.address),
        *("--ship-code", "--runtime-env", "environment.yaml", "--wait"),
        *(*settings, f"hooks.veto={json.dumps(refuse)}"),
    ]
    done = subprocess.run(
        words,
        env={**night.environment, "PYTHONPATH": str(release)},
        cwd=empty,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    jobs = list(JobQueue(open_store(queue)).jobs())
    assert done.returncode == 3, f"{done.stderr}\n{jobs}"
    facts = json.loads(told.read_text())
    assert (facts["rendered"], facts["rejected"], facts["exit_code"]) == (1, 1, 3)
    assert facts["greeting"] == "from far away"
    # Where Ray unpacked it, and neither the release that was sent nor the cluster's own.
    assert not facts["code"].startswith((str(release), str(ROOT)))
    assert len(list((night.folder / "shipped").glob("videos/first/*.mp4"))) == 1


@pytest.mark.longest
def test_a_job_finds_the_actors_of_the_job_before_warm(night: Night, calm: str) -> None:
    kept = []
    for name in ("warm-1", "warm-2"):
        night.nightreel("watch", night.submit(name, "gang.keep_warm_s=60"))
        night.assert_same_films(name, calm)
        kept.append(night.head.actor_pids())
    assert len(kept[0]) == 2
    assert kept[1] == kept[0]
    # A job without the setting needs the room, and leaves nobody.
    night.nightreel("watch", night.submit("cold"))
    night.assert_same_films("cold", calm)
    night.wait(lambda: not night.head.actor_pids(), "end of the actors")
