"""The driver: bad rows are set aside, good ones rendered, what is not as recorded is repaired."""

from __future__ import annotations

import io
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from jobs.config import load_config
from jobs.progress_log import LogProgress
from jobs.render import Job, JobSummary, render
from pipeline.encoding.probe import probe
from pipeline.errors import ManifestError
from storage.ledger import Ledger
from storage.open import StoreConfig, open_store
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cluster


def run(manifest: Path, out: Path, *overrides: str, strict: bool = False) -> JobSummary:
    """What ``nightreel render`` does, in this process and on the tests' cluster."""
    job = Job(
        manifest=str(manifest),
        store=StoreConfig(uri=str(out)),
        config=load_config(overrides=[*SMALL, *overrides]),
        strict=strict,
    )
    return render(job, LogProgress(io.StringIO()))


def films(out: Path, video_id: str) -> list[Path]:
    return sorted(out.glob(f"videos/{video_id}/*.mp4"))


MIXED = (
    row("good"),
    row("twice"),
    row("../../etc/passwd"),
    row("silent", prompt="   "),
    row("endless", duration_s=float("nan")),
    row("twice", seed=2),
    row("odd", width=50),
    row("fast", fps=24.0),
    row(None),
    row("also-good", num_frames=5),
)
REASONS = {
    2: ("id", "twice", "more than one row"),
    3: ("id", "../../etc/passwd", "expected 1 to 128 of A-Z a-z 0-9"),
    4: ("prompt", "   ", "a prompt or events are required"),
    5: ("duration_s", "nan", "number"),
    6: ("id", "twice", "more than one row"),
    7: ("width", "50", "the nearest are 48 or 64"),
    8: ("fps", "24.0", "set defaults.retime=true"),
    9: ("id", None, "every row needs an id"),
}


def test_bad_rows_are_set_aside_by_number_column_value_and_reason_and_good_ones_rendered(
    tmp_path: Path, ray_cluster: None
) -> None:
    manifest, out = write(tmp_path / "mixed.parquet", MIXED), tmp_path / "out"
    summary = run(manifest, out, "gang.actors=1")
    assert summary.rendered == ["good", "also-good"]
    assert summary.failed == {}
    rejected = pq.read_table(out / "rejected.parquet").to_pylist()
    assert {r["row"] for r in rejected} == set(REASONS)
    for found in rejected:
        column, value, reason = REASONS[found["row"]]
        assert found["file"] == "mixed.parquet"
        assert found["column"] == column
        assert found["value"] == value
        assert reason in found["reason"]
    assert {path.name for path in (out / "videos").iterdir()} == {"good", "also-good"}
    assert not list(tmp_path.rglob("*passwd*"))


def test_strict_refuses_the_whole_manifest_before_anything_is_made(tmp_path: Path) -> None:
    manifest, out = write(tmp_path / "mixed.parquet", MIXED), tmp_path / "out"
    with pytest.raises(ManifestError, match=r"--strict: .* row 2 \(twice\): id = twice"):
        run(manifest, out, strict=True)
    assert not list(out.rglob("*.*"))


@pytest.mark.slow
def test_what_is_not_as_the_ledger_says_is_made_again_and_the_rest_left_alone(
    tmp_path: Path, ray_cluster: None
) -> None:
    out = tmp_path / "out"
    ids = ("whole", "short", "flipped", "gone", "other")
    manifest = write(tmp_path / "first.parquet", [row(i, num_frames=37) for i in ids])
    assert sorted(run(manifest, out).rendered) == sorted(ids)
    films_before = {i: films(out, i)[0] for i in ids}
    bytes_before = {i: films_before[i].read_bytes() for i in ids}

    films_before["short"].write_bytes(bytes_before["short"][:-100])
    flipped = bytearray(bytes_before["flipped"])
    flipped[len(flipped) // 2] ^= 1
    films_before["flipped"].write_bytes(flipped)
    films_before["gone"].unlink()
    untouched = films_before["whole"].stat().st_mtime_ns
    rows = [row(i, num_frames=37, seed=9 if i == "other" else 1) for i in ids]
    rows.append(row("fast", num_frames=37, fps=24.0))
    changed = write(tmp_path / "second.parquet", rows)

    summary = run(changed, out, "defaults.retime=true")
    assert summary.skipped == 1
    assert sorted(summary.rendered) == ["fast", "flipped", "gone", "other", "short"]
    assert films_before["whole"].stat().st_mtime_ns == untouched
    # Same request, same engine, same encoder: the very bytes that were there.
    for video_id in ("short", "flipped", "gone"):
        assert films(out, video_id) == [films_before[video_id]]
        assert films_before[video_id].read_bytes() == bytes_before[video_id]
    assert len(films(out, "other")) == 2
    assert films_before["other"].read_bytes() == bytes_before["other"]
    (fast,) = films(out, "fast")
    assert (probe(fast).fps, probe(fast).num_frames) == (24, 56)

    # Back to the first seed: its film is the current one again, and nothing is made.
    summary = run(manifest, out)
    assert (summary.skipped, summary.rendered) == (5, [])
    current = Ledger(open_store(str(out))).current("other")
    assert current is not None
    assert current.key == str(films_before["other"].relative_to(out))
    results = {r["id"]: r for r in pq.read_table(out / "results.parquet").to_pylist()}
    assert results["other"]["key"] == current.key
    assert set(results) == {*ids, "fast"}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, that is soon full."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False, timeout=30)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if mounted.returncode:
        pytest.skip(f"may not mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


@pytest.mark.parametrize("keep_latents", ["never", "until_done"])
@pytest.mark.slow
def test_a_full_disk_fails_the_film_by_name_and_the_next_one_that_fits_is_made(
    tmp_path: Path, ray_cluster: None, keep_latents: str
) -> None:
    rows: list[dict[str, Any]] = [
        row("huge", num_frames=129, width=320, height=192),
        row("small", num_frames=5),
    ]
    manifest = write(tmp_path / "manifest.parquet", rows)
    with small_disk(tmp_path / "disk", "200k") as out:
        summary = run(
            manifest,
            out,
            "encode.crf=1",
            f"output.keep_latents={keep_latents}",
            "gang.actors=1",
        )
        assert summary.rendered == ["small"]
        assert set(summary.failed) == {"huge"}
        assert summary.failed["huge"].startswith("StoreFullError: ")
        assert "no space left" in summary.failed["huge"]
        assert films(out, "huge") == []
        assert probe(films(out, "small")[0]).num_frames == 5
        record = Ledger(open_store(str(out))).current("huge")
        assert record is not None
        assert (record.state, record.error) == ("failed", "StoreFullError")
        assert not list(out.rglob("*.safetensors"))
        assert not list(out.rglob(".*"))
