"""What the quality gate does to a job: figures kept, one more take, then a named failure."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobs.config import load_config
from jobs.progress_log import LogProgress
from jobs.render import Job, JobSummary, render
from storage.ledger import Ledger
from storage.open import StoreConfig, open_store
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cluster

# In four steps of the second order some of the oracle's joins have more detail than what is beside
# them (at least 1.03 times), in four of Euler's none have more of anything (at most 0.93 times).
LONG = {"num_frames": 401, "height": 64}
SEAMLESS = "quality.max_join_ratio=1"


def run(folder: Path, rows: list[dict[str, Any]], *overrides: str) -> JobSummary:
    manifest = write(folder / "manifest.parquet", rows)
    job = Job(
        manifest=str(manifest),
        store=StoreConfig(uri=str(folder / "out")),
        config=load_config(overrides=[*SMALL, *overrides]),
    )
    return render(job, LogProgress(io.StringIO()))


def sidecar(folder: Path, video_id: str) -> dict[str, Any]:
    (path,) = (folder / "out").glob(f"videos/{video_id}/*.json")
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


@pytest.mark.slow
def test_figures_are_in_sidecar_and_ledger(tmp_path: Path, ray_cluster: None) -> None:
    summary = run(tmp_path, [row("usual"), row("glimpse", num_frames=1)])
    assert summary.is_clean
    quality = sidecar(tmp_path, "usual")["quality"]
    assert quality["num_frames"] == 101
    assert quality["seams"]["frame_difference"]["ratio"] > 0
    assert sidecar(tmp_path, "usual")["safe_settings"] is False
    assert sidecar(tmp_path, "glimpse")["quality"] is None
    records = {r.id: r for r in Ledger(open_store(str(tmp_path / "out"))).latest()}
    assert records["usual"].quality["flat_share"] == quality["health"]["flat_share"]
    assert records["usual"].quality["num_joins"] == quality["num_joins"] > 1
    assert records["glimpse"].quality == {}


@pytest.mark.slow
def test_a_refused_video_is_made_once_more_with_safe_settings(
    tmp_path: Path, ray_cluster: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nightreel.second_take"):
        summary = run(tmp_path, [row("torn", **LONG), row("next")], SEAMLESS)
    assert sorted(summary.rendered) == ["next", "torn"]
    (warning,) = [r.getMessage() for r in caplog.records if "safe settings" in r.getMessage()]
    assert "detail_at_joins = 1." in warning
    assert "over quality.max_join_ratio = 1; once more with safe settings" in warning
    made = sidecar(tmp_path, "torn")
    assert made["safe_settings"] is True
    assert made["options"]["sampler.solver"] == "euler"
    assert made["quality"]["seams"]["detail"]["low"] <= 1
    assert sidecar(tmp_path, "next")["options"]["sampler.solver"] == "ab2"


@pytest.mark.slow
def test_what_is_refused_twice_fails_by_name_and_the_night_goes_on(
    tmp_path: Path, ray_cluster: None
) -> None:
    # In one step from pure noise the oracle makes the mean of all videos: one colour.
    summary = run(tmp_path, [row("dull", num_inference_steps=1), row("next")])
    assert summary.rendered == ["next"]
    assert summary.failed == {
        "dull": "QualityError: flat_share = 1: over quality.max_flat_share = 0.5"
    }
    assert not list((tmp_path / "out").glob("videos/dull/*"))
    (record,) = [
        r for r in Ledger(open_store(str(tmp_path / "out"))).latest() if r.state == "failed"
    ]
    assert record.error == "QualityError"
    assert record.quality == {"flat_share": 1.0}
