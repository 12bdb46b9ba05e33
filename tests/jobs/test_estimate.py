"""Estimates: counts against what was rendered, times against what it took, prices, caps."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from benchmarks.fleet.times import Times
from jobs.cli import app
from jobs.config import load_config
from jobs.demo import write_manifest
from jobs.estimate import Estimate, Pace, VideoWork, estimate, refuse_if_above
from jobs.estimate_cli import lines
from jobs.estimate_job import estimate_manifest, estimate_request
from jobs.measured_pace import pace_for
from jobs.prices import Cost, cost_of, read_prices
from jobs.render import Job, render
from jobs.simulated_job import SimulatedJob
from pipeline.engines.registry import read_spec
from pipeline.errors import ConfigError, UserError
from storage.job_request import JobRequest
from storage.open import StoreConfig
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from pathlib import Path

PACE = Pace(
    source="measured",
    hardware="H100",
    origin="test",
    window_s_per_cost=0.5,
    tail_s_per_pixel=0.001,
    bytes_per_pixel=0.25,
)
WORK = VideoWork(
    num_frames=100,
    num_pixels=100_000,
    duration_s=4.0,
    num_segments=2,
    num_windows=1000,
    num_critical_windows=600,
    window_cost=3,
)
ONE = SimulatedJob(Counter({WORK: 1}), 1000.0, 900.0, "epic", 800.0)
TWO = replace(ONE, works=Counter({WORK: 2}))
REQUEST = JobRequest(id="a", manifest="m", output="o", owner="ada", submitted_at="now")


def test_what_adds_up() -> None:
    found = estimate(TWO, PACE, num_gpus=2)
    assert (found.num_videos, found.num_frames, found.num_segments) == (2, 200, 4)
    assert (found.makespan_s, found.makespan_bound_s) == (1000.0, 900.0)
    assert (found.longest_id, found.longest_s) == ("epic", 800.0)
    assert found.gpu_hours == 2 * 1000.0 / 3600
    assert found.busy_gpu_hours == 2 * 1000 * 3 * 0.5 / 3600
    assert found.storage_bytes == 50_000


def test_without_a_pace_there_are_counts_and_no_times() -> None:
    found = estimate(ONE, None, num_gpus=1)
    assert found.num_windows == 1000
    assert (found.makespan_s, found.gpu_hours, found.storage_bytes) == (None, None, None)
    assert (found.makespan_bound_s, found.longest_s) == (None, None)


def test_a_video_that_all_else_waits_for_is_named() -> None:
    quiet = "".join(lines(estimate(TWO, PACE, num_gpus=2), None))
    assert "longest" not in quiet
    assert "late" not in quiet
    said = lines(estimate(replace(TWO, longest_s=950.0, num_late=3), PACE, num_gpus=2), None)
    assert "time        16:40 on 2 GPUs, to the last upload's end; no plan beats 15:00" in said
    assert "longest     15:50: 'epic' by itself" in said
    assert "late        3 videos end after their deadlines, if it starts now" in said


def test_a_cap_refuses_what_is_estimated_above_it() -> None:
    found = replace(estimate(ONE, PACE, num_gpus=2), gpu_hours=3.0)
    refuse_if_above(REQUEST, found)
    refuse_if_above(replace(REQUEST, max_gpu_hours=3.0), found)
    refuse_if_above(replace(REQUEST, max_gpu_hours=1.0), estimate(ONE, None, num_gpus=2))
    with pytest.raises(UserError, match=r"3\.00 GPU-hours \(measured\), above its cap of 2\.5"):
        refuse_if_above(replace(REQUEST, max_gpu_hours=2.5), found)


def test_prices(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text("currency: EUR\ngpu_hour:\n  h100: 2.5\nstorage_gb_month: 0.02\n")
    found = replace(estimate(ONE, PACE, num_gpus=2), gpu_hours=4.0, storage_bytes=5 * 10**9)
    assert cost_of(found, read_prices(table)) == Cost(10.0, 0.1, "EUR")
    other = replace(found, pace=replace(PACE, hardware="A100"))
    with pytest.raises(ConfigError, match="no price for hardware 'A100'; the table has h100"):
        cost_of(other, read_prices(table))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu_hours:\n  H100: 2\n", "unknown 'gpu_hours'"),
        ("gpu_hour: 2\n", "expected hardware: price"),
        ("gpu_hour:\n  H100: free\n", r"gpu_hour\.H100 = 'free': expected a price"),
        ("gpu_hour:\n  H100: -1\n", "expected a price"),
    ],
)
def test_what_is_no_price_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_prices(tmp_path / "prices.yaml")


def test_the_embedded_model_is_assumed_until_it_was_measured(tmp_path: Path) -> None:
    write_manifest(tmp_path / "demo.parquet")
    arguments = ["estimate", str(tmp_path / "demo.parquet"), "--gpus", "2"]
    text = CliRunner().invoke(app, arguments).output
    assert "3 to render, 0 there already" in text
    assert "assumed     the embedded model" in text
    values = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert values["pace"]["source"] == "assumed"
    assert values["num_frames"] == 544
    assert 0 < values["busy_gpu_hours"] < values["gpu_hours"]
    unknown = CliRunner().invoke(app, [*arguments, "engine.name=gaussian"]).output
    assert "not known" in unknown


def rendered(manifest: Path, out: Path, config: Any) -> tuple[list[dict[str, Any]], float]:
    """Render; the sidecars, and the seconds from the first step to the last video's end."""
    store, times = StoreConfig(uri=str(out)), Times()
    job = Job(manifest=str(manifest), store=store, config=config)
    assert render(job, times).is_clean
    took_s = max(times.finished_s.values()) - min(times.sampling_s.values())
    return [json.loads(path.read_text()) for path in sorted(out.glob("videos/*/*.json"))], took_s


@pytest.mark.slow
@pytest.mark.cluster
def test_an_estimate_from_one_render_says_how_long_another_takes(
    tmp_path: Path, ray_cluster: None
) -> None:
    """The oracle takes its time for every window, so two cores that others use don't blur it."""
    settings = (*SMALL, "engine.gaussian.window_cost_s=0.02", "gang.actors_per_video=2")
    config = load_config(overrides=list(settings))
    tonight = write(tmp_path / "b.parquet", [row("long", num_frames=301), row("c", num_frames=161)])
    blind = estimate_manifest(str(tonight), config, num_gpus=2)
    assert blind.pace is None
    sources = tmp_path / "yesterday"
    rendered(write(tmp_path / "a.parquet", [row(f"a{n}") for n in range(3)]), sources, config)
    found: Estimate = estimate_manifest(str(tonight), config, num_gpus=2, sources=[str(sources)])
    assert found.pace is not None
    assert (found.pace.source, found.pace.hardware) == ("measured", "cpu")
    assert found.pace.origin == "3 finished videos of 64x32"
    assert (found.num_videos, found.num_frames) == (2, 462)
    sidecars, took_s = rendered(tonight, tmp_path / "out", config)
    # Counts are exact; times are not, on cores that others use too.
    assert sum(each["timings"]["num_windows"] for each in sidecars) == found.num_windows
    assert sum(each["timings"]["num_segments"] for each in sidecars) == found.num_segments
    for timings in (each["timings"] for each in sidecars):
        assert 0.0 < timings["delivery_s"] <= timings["total_s"] - timings["sampling_s"] + 0.01
        assert 0.0 <= timings["waited_s"] < timings["compute_s"]
    assert found.makespan_s is not None
    print(f"estimated {found.makespan_s:.2f} s, took {took_s:.2f} s")
    assert 0.25 < took_s / found.makespan_s < 4.0
    request = replace(
        REQUEST,
        manifest=str(tonight),
        output=str(tmp_path / "out"),
        settings=settings,
    )
    again = estimate_request(request, num_gpus=2)
    assert (again.num_videos, again.num_skipped, again.gpu_hours) == (0, 2, 0.0)
    only_gpus = pace_for(
        config, read_spec(config.engine), [StoreConfig(uri=str(sources))()], "H100"
    )
    assert only_gpus is None
