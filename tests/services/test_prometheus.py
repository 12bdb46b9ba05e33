"""A real Prometheus: its own checker on the alerts; a real render, of which each panel shows some.

Started here on loopback with a folder of its own, and ended; nothing of the system's service.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
import yaml
from ray.util.state import list_actors, list_tasks

from actors.cluster import ClusterOptions, connected
from actors.handles import SegmentHandle
from jobs.config import load_config
from jobs.dashboards import text_of, write_dashboards
from jobs.progress_log import LogProgress
from jobs.queue_metrics import LOOPBACK, USUAL_PORT, QueueMetrics
from jobs.render import Job, render
from storage.open import StoreConfig
from tests.jobs.test_dashboards import definitions, panels
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.render import JobSummary

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on this machine"),
]

START_S = 120.0
# How often Ray's processes report to their node's agent, and how often Prometheus asks it.
REPORT_MS = 3000
SCRAPE_S = 1
JOB = "night-1234abcd"
STEPS = 12


def test_the_rules_are_sound_and_each_alert_fires_when_it_should_and_only_then(
    tmp_path: Path,
) -> None:
    write_dashboards(tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(
            ["promtool", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load(text_of("alerts.yml"))["groups"][0]["rules"]
    tests = yaml.safe_load((tmp_path / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules}


@dataclass(frozen=True)
class Prometheus:
    """A server that runs; ``ask`` evaluates a query as of a moment."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def ask(self, query: str, at_s: float) -> dict[str, float]:
        found = self.get("query", query=query, time=f"{at_s:.3f}")["result"]
        return {
            ",".join(f"{k}={v}" for k, v in sorted(one["metric"].items())): float(one["value"][1])
            for one in found
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(folder: Path, service_discovery: Path, *queue_ports: int) -> Iterator[Prometheus]:
    """The shipped configuration, with this test's places and haste."""
    write_dashboards(folder)
    config = folder / "prometheus.yml"
    text = config.read_text()
    for ours, theirs in (
        ("/tmp/ray/prom_metrics_service_discovery.json", str(service_discovery)),
        (
            f"          - {LOOPBACK}:{USUAL_PORT}\n",
            "".join(f"          - {LOOPBACK}:{port}\n" for port in queue_ports),
        ),
        ("scrape_interval: 10s", f"scrape_interval: {SCRAPE_S}s"),
    ):
        assert text.count(ours) == 1, ours
        text = text.replace(ours, theirs)
    config.write_text(text)
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Prometheus(f"http://{LOOPBACK}:{port}")
        _until(lambda: _is_ready(server), f"Prometheus: {(folder / 'log').read_text()}")
        yield server
    finally:
        process.terminate()
        process.wait(START_S)


def _is_ready(server: Prometheus) -> bool:
    try:
        urllib.request.urlopen(f"{server.url}/-/ready", timeout=5).close()
    except OSError:
        return False
    return True


def _until(condition: Any, what: str) -> None:
    end_s = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.2)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cluster with a dashboard; the file in which it says where its metrics are."""
    assert not ray.is_initialized(), "these tests want a cluster of their own"
    monkeypatch.setenv("RAY_metrics_report_interval_ms", str(REPORT_MS))
    monkeypatch.setenv("RAY_enable_worker_prestart", "0")
    # A busy machine takes its time.
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "120000")
    options = ClusterOptions(
        num_cpus=2, object_store_memory_bytes=100 << 20, include_dashboard=True
    )
    with connected(options):
        session = Path(ray._private.worker._global_node.get_session_dir_path())
        found = session / "prom_metrics_service_discovery.json"
        _until(found.exists, f"no {found}")
        yield found


def lines_of(query: str) -> str:
    return query.replace("$__rate_interval", "30s").replace("$job_id", ".*")


class Lingering(LogProgress):
    """Lets the job end only when its last figures have been read."""

    def job_finished(self, summary: JobSummary) -> None:
        super().job_finished(summary)
        time.sleep(3 * SCRAPE_S + 3 * REPORT_MS / 1000)
        self.at_s = time.time()


@pytest.mark.timeout(600)
def test_every_panel_shows_something_of_a_real_render(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_config = json.dumps({"metadata": {"job_submission_id": JOB}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", ray_config)
    rows = [row(f"clip-{i}", num_frames=241, num_inference_steps=STEPS) for i in range(4)]
    rows[2] |= {"width": 50}
    manifest, now = write(tmp_path / "rows.parquet", rows), datetime.now(UTC)
    queue = QueueMetrics().serve(0)
    queue.queue({"queued": 2, "running": 1}, now - timedelta(minutes=3))
    queue.windows({JOB: now + timedelta(hours=2)})
    queue.schedules({"nightly": 90.0})
    replaced = _kill_one_actor(monkeypatch)
    with prometheus(tmp_path / "prometheus", cluster, queue.port) as server:
        job = Job(
            manifest=str(manifest),
            store=StoreConfig(uri=str(tmp_path / "out")),
            config=load_config(overrides=[*SMALL, "gang.actors_per_video=2"]),
        )
        progress = Lingering(io.StringIO())
        summary = render(job, progress)
        assert len(summary.rendered) == 3
        assert replaced, "an actor was to be killed"
        # A driver's gauges are gone soon after it: what is read is of just before its end.
        _check_panels(server, progress.at_s)
        _check_figures(server, progress.at_s)
        described = {actor.repr_name for actor in list_actors(detail=True)}
        titles = {task.name for task in list_tasks(limit=1000)}
    queue.close()
    assert {f"{JOB}/actor-000", f"{JOB}/actor-001"} <= described
    assert {f"{JOB}/clip-0/segment-000", f"{JOB}/clip-3/segment-001"} <= titles


def _kill_one_actor(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One actor dies at the fifth step that is submitted."""
    step, submitted, killed = SegmentHandle.step, [0], list[str]()

    def deadly(handle: SegmentHandle, *arguments: Any, **more: Any) -> Any:
        submitted[0] += 1
        refs = step(handle, *arguments, **more)
        if submitted[0] == 5:
            killed.append(handle.name)
            handle.kill()
        return refs

    monkeypatch.setattr(SegmentHandle, "step", deadly)
    return killed


def _check_panels(server: Prometheus, at_s: float) -> None:
    empty = [
        f"{panel['title']}: {target['expr']}"
        for panel in panels()
        for target in panel["targets"]
        if not server.ask(lines_of(target["expr"]), at_s)
    ]
    assert empty == []
    names = set(server.get("label/__name__/values"))
    assert set(definitions()) <= names


def _check_figures(server: Prometheus, at_s: float) -> None:
    """Counters say what was done, to the last step, and gauges where the job stands."""
    retries = server.ask("sum by (kind) (ray_nightreel_retries_total)", at_s)
    assert retries["kind=process_replaced"] == 1
    again = retries["kind=step_replayed"]
    steps = server.ask("sum(ray_nightreel_steps_total)", at_s)[""]
    # The killed actor's last second is lost with it.
    assert 2 * 3 * STEPS <= steps <= 2 * 3 * STEPS + again + 5
    histogram = server.ask("sum(ray_nightreel_step_seconds_count)", at_s)[""]
    assert histogram == steps
    assert server.ask("sum(ray_nightreel_frames_total)", at_s)[""] == 3 * 241
    videos = server.ask(f'sum by (state) (ray_nightreel_videos{{job_id="{JOB}"}})', at_s)
    assert (videos["state=rendered"], videos["state=rejected"]) == (3, 1)
    activities = set(server.ask("sum by (activity) (ray_nightreel_busy_seconds_total) > 0", at_s))
    wanted = ("prompts", "step", "snapshot", "decode", "encode", "check", "upload")
    assert activities == {f"activity={name}" for name in wanted}
    labels = server.get("series", **{"match[]": '{__name__=~"ray_nightreel_.*"}'})
    assert not {key for one in labels for key in one} & {"video", "segment", "exported_job"}


def test_a_dispatcher_and_a_scheduler_are_read_where_they_say(tmp_path: Path) -> None:
    """With nothing but the commands and the shipped configuration; Ray need not be there."""
    manifest = write(tmp_path / "rows.parquet", [row("clip")])
    environment = {**os.environ, "NIGHTREEL_QUEUE": str(tmp_path / "queue")}
    ports = free_port(), free_port()

    def nightreel(*words: str) -> list[str]:
        return [sys.executable, "-m", "jobs.cli", *words]

    where = ("--manifest", str(manifest), "--output", str(tmp_path / "out"))
    commands = (
        nightreel("submit", str(manifest), "--output", str(tmp_path / "out"), *SMALL),
        nightreel("schedule", "add", "nightly", "--cron", "0 1 * * *", *where),
    )
    for command in commands:
        subprocess.run(command, env=environment, check=True, timeout=START_S)
    nobody = f"http://{LOOPBACK}:{free_port()}"
    at_work = [
        nightreel("dispatch", "--address", nobody, "--metrics-port", str(ports[0])),
        nightreel("scheduler", "--metrics-port", str(ports[1])),
    ]
    processes = [subprocess.Popen(command, env=environment) for command in at_work]
    try:
        with prometheus(tmp_path / "prometheus", tmp_path / "none.json", *ports) as server:
            wanted = {"nightreel_queue_jobs", "nightreel_schedule_lag_seconds"}
            _until(lambda: wanted <= set(server.get("label/__name__/values")), "queue and schedule")
            now_s = time.time()
            assert set(server.ask('up{job="nightreel"}', now_s).values()) == {1.0}
            assert server.ask("sum by (state) (nightreel_queue_jobs)", now_s) == {"state=queued": 1}
            assert server.ask("max(nightreel_schedule_lag_seconds)", now_s) == {"": 0}
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(60) for process in processes] == [130, 130]
