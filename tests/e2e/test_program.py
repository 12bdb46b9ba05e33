"""The program from end to end: a manifest in, finished films out, whatever stops it in between."""

from __future__ import annotations

import json
import signal
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from storage.open import open_store
from tests.e2e.program import program
from tests.manifests import FPS, HEIGHT_PX, OWN_CLUSTER, SMALL, WIDTH_PX, row, write
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3_server import S3Server

pytestmark = pytest.mark.cluster

UNFINISHED = ("*.partial*", ".*", "*.tmp*")


def look_at(path: Path, num_frames: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> None:
    """Decode the whole film and compare it with what was asked for."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(FPS)
        assert stream.codec_context.name == "h264"
        sizes = [(frame.width, frame.height) for frame in container.decode(stream)]
    assert sizes == [(width, height)] * num_frames


@pytest.mark.slow
def test_a_job_that_was_interrupted_goes_on_and_a_finished_one_is_left_alone(
    tmp_path: Path, ray_cluster: None
) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    rows = [row("first", priority=1), row("second", num_frames=401)]
    rows.append(row("third", num_frames=1, priority=-1))
    manifest = write(tmp_path / "manifest.parquet", rows)
    command = ["render", str(manifest), "--output", str(out), *SMALL, *OWN_CLUSTER]
    slow = ("engine.gaussian.window_cost_s=0.1", "gang.actors=1")

    with program(scratch, *command, *slow) as run:
        wanted = ("video first: rendered", "video second: sampling")
        run.wait_until(lambda: all(line in run.said for line in wanted), "second film")
        run.press_ctrl_c()
        assert run.wait() == 130
        assert run.leftovers() == []
        assert "interrupted; run the same command again" in run.said
    assert len(list(out.glob("videos/first/*.mp4"))) == 1
    assert not (out / "videos/second").exists()
    assert not [path for pattern in UNFINISHED for path in out.rglob(pattern)]
    assert pq.read_table(out / "results.parquet").column("id").to_pylist() == ["first"]
    first = (out / "ledger/first/000001.json").read_bytes()

    address = ray.get_runtime_context().gcs_address
    with program(scratch, *command[: -len(OWN_CLUSTER)], f"--address={address}") as run:
        assert run.wait() == 0, run.said
        assert "1 there already" in run.said
        assert run.leftovers() == []
    for video_id, num_frames in (("first", 101), ("second", 401), ("third", 1)):
        (film,) = out.glob(f"videos/{video_id}/*.mp4")
        look_at(film, num_frames)
        with Image.open(film.with_suffix(".jpg")) as poster:
            assert poster.size == (WIDTH_PX, HEIGHT_PX)
            poster.load()
        sidecar = json.loads(film.with_suffix(".json").read_bytes())
        assert sidecar["id"] == video_id
        assert sidecar["ai_generated"] is True
        assert sidecar["video"]["num_frames"] == num_frames
        record = json.loads((out / f"ledger/{video_id}/000001.json").read_bytes())
        assert record["key"] == str(film.relative_to(out))
        assert record["size_bytes"] == film.stat().st_size
    assert (out / "ledger/first/000001.json").read_bytes() == first
    results = pq.read_table(out / "results.parquet").to_pylist()
    assert [(r["id"], r["state"]) for r in results] == [
        ("first", "rendered"),
        ("second", "rendered"),
        ("third", "rendered"),
    ]
    assert pq.read_table(out / "rejected.parquet").num_rows == 0
    assert not [path for pattern in UNFINISHED for path in out.rglob(pattern)]
    assert not (out / "checkpoints").exists()

    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*.*4"))
    with program(scratch, *command) as run:
        assert run.wait() == 0
        assert "3 there already" in run.said
        assert not run.started_ray
        assert run.leftovers() == []
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*.*4")) == before


@pytest.mark.slow
def test_sigterm_in_the_middle_of_encoding_leaves_nothing_half_written(tmp_path: Path) -> None:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    big = row("big", num_frames=3201, width=320, height=192, num_inference_steps=2)
    manifest = write(tmp_path / "manifest.parquet", [big])
    command = [
        "render",
        str(manifest),
        "--output",
        str(out),
        *SMALL,
        *OWN_CLUSTER,
        "encode.preset=slow",
    ]
    with program(scratch, *command) as run:
        run.wait_until(lambda: bool(list(scratch.rglob("*.partial"))), "unfinished film")
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 130
        assert run.leftovers() == []
    assert not (out / "videos").exists()
    assert not (out / "ledger").exists()
    assert not [path for pattern in UNFINISHED for path in out.rglob(pattern)]


@pytest.mark.s3
@pytest.mark.slow
def test_a_bucket_is_as_good_as_a_folder(
    tmp_path: Path, s3_server: S3Server, s3_bucket: str, ray_cluster: None
) -> None:
    uri = f"s3://{s3_bucket}/films/tonight"
    manifest = write(tmp_path / "manifest.parquet", [row("first"), row("second", seed=5)])
    options = s3_server.options()
    command = [
        "render",
        str(manifest),
        "--output",
        uri,
        f"--address={ray.get_runtime_context().gcs_address}",
        *SMALL,
        f"store.endpoint_url={options.endpoint_url}",
        f"store.region={options.region}",
        f"store.addressing_style={options.addressing_style}",
    ]
    with program(tmp_path / "scratch", *command) as run:
        assert run.wait() == 0, run.said
        assert run.leftovers() == []
    store = open_store(uri, s3=options)
    keys = list(store.list_keys(""))
    assert len([key for key in keys if key.endswith(".mp4")]) == 2
    assert not [key for key in keys if key.startswith("checkpoints/")]
    for key in keys:
        if key.endswith(".mp4"):
            store.get_file(key, tmp_path / "film.mp4")
            look_at(tmp_path / "film.mp4", 101)
    assert pq.read_table(_downloaded(store, "results.parquet", tmp_path)).num_rows == 2
    assert not list(s3_server.client().list_multipart_uploads(Bucket=s3_bucket).get("Uploads", []))

    with program(tmp_path / "scratch", *command) as run:
        assert run.wait() == 0
        assert "2 there already" in run.said
        assert not run.started_ray


def _downloaded(store: object, key: str, folder: Path) -> Path:
    path = folder / key
    store.get_file(key, path)  # type: ignore[attr-defined]
    return path


@pytest.mark.slow
@pytest.mark.longest
def test_a_wan_checkpoint_renders_on_a_cluster_that_runs_already(
    tmp_path: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    weights = make_tiny_wan(tmp_path / "tiny-wan", window_latent_frames=9)
    rows = [row("clip", width=48, height=32, num_frames=77, num_inference_steps=2)]
    manifest = write(tmp_path / "manifest.parquet", rows)
    out = tmp_path / "out"
    with program(
        tmp_path / "scratch",
        "render",
        str(manifest),
        f"--output={out}",
        f"engine.weights={weights}",
        "gang.actors=2",
    ) as run:
        assert run.wait() == 0, run.said
        assert run.leftovers() == []
    (film,) = out.glob("videos/clip/*.mp4")
    look_at(film, 77, 48, 32)
    sidecar = json.loads(film.with_suffix(".json").read_bytes())
    assert sidecar["engine"]["name"] == "wan"
    assert sidecar["timings"]["num_segments"] == 2
