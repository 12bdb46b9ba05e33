"""``engine.speed`` in a job: what this machine has not ends it; safe settings are plain."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from jobs.config import load_config, numeric_options
from jobs.measured_pace import pace_for
from jobs.progress_log import LogProgress
from jobs.render import Job, render
from jobs.second_take import safe
from pipeline.engines.registry import EngineOptions, read_spec
from pipeline.engines.speed import SpeedOptions
from pipeline.errors import ConfigError
from storage.ledger import Ledger
from storage.open import StoreConfig, open_store
from tests.manifests import row, write

if TYPE_CHECKING:
    from pathlib import Path

TIMINGS = {"compute_s": 10.0, "num_windows": 40, "total_s": 30.0, "sampling_s": 20.0}
FUSED = "engine.speed.fuse_projections=true"


def test_safe_settings_are_plain() -> None:
    config = safe(load_config(overrides=[FUSED, "engine.speed.compile=true"]))
    assert config.engine.speed == SpeedOptions()
    assert "engine.speed.compile" not in numeric_options(config)


def test_the_oracle_has_nothing_to_make_faster() -> None:
    with pytest.raises(ConfigError, match=r"engine\.speed\.compile = True: engine 'gaussian'"):
        EngineOptions(name="gaussian", speed=SpeedOptions(compile=True))


def test_a_pace_is_of_the_same_speed_options(tmp_path: Path) -> None:
    fast, plain = load_config(overrides=[FUSED]), load_config()
    engine = read_spec(plain.engine)
    sidecar = {
        "engine": asdict(engine),
        "options": numeric_options(fast),
        "request": {
            "width": engine.width,
            "height": engine.height,
            "guidance_scale": 5.0,
            "num_frames": 81,
        },
        "num_latent_frames": 21,
        "timings": TIMINGS,
        "video": {"size_bytes": 1000},
    }
    path = tmp_path / "videos" / "a" / "b.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(sidecar))
    store = StoreConfig(uri=str(tmp_path))()
    measured, assumed = (pace_for(config, engine, [store]) for config in (fast, plain))
    assert measured is not None
    assert assumed is not None
    assert (measured.source, assumed.source) == ("measured", "assumed")
    # What the model did for other videos meanwhile is theirs, where a sidecar tells it.
    timings = {**TIMINGS, "waited_s": 4.0, "delivery_s": 2.5}
    path.write_text(json.dumps({**sidecar, "timings": timings}))
    apart = pace_for(fast, engine, [store])
    assert apart is not None
    assert apart.window_s_per_cost == pytest.approx(0.6 * measured.window_s_per_cost)
    assert apart.tail_s_per_pixel == pytest.approx(0.25 * measured.tail_s_per_pixel)


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.cluster
def test_attention_that_is_not_there_ends_the_job_and_costs_no_row_an_attempt(
    tmp_path: Path, ray_cluster: None
) -> None:
    manifest = write(tmp_path / "a.parquet", [row("a", num_frames=17), row("b", num_frames=17)])
    overrides = ["engine.device=cpu", "engine.speed.attention_backend=xformers", "gang.actors=1"]
    store = StoreConfig(uri=str(tmp_path / "out"))
    job = Job(manifest=str(manifest), store=store, config=load_config(overrides=overrides))
    with pytest.raises(ConfigError, match=r"not here .cpu, float32.*xformers"):
        render(job, LogProgress(io.StringIO()))
    assert not list(Ledger(open_store(str(tmp_path / "out"))).latest())
