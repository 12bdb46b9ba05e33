"""How a job stands, and putting failed videos back: from the store alone, without Ray."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.retry import NotFailedError, requeue
from jobs.status import read_status
from jobs.status_text import SHOWN_OF_A_STATE, status_json, totals_text
from storage import keys
from storage.leases import LeaseOptions, Leases
from storage.ledger import Ledger
from storage.local import LocalStore
from storage.manifest import Manifest
from storage.record import LedgerRecord
from storage.rejected import Rejection, put_rejected
from storage.results import put_results, read_results
from tests.manifests import row, write

if TYPE_CHECKING:
    from pathlib import Path

NUM_VIDEOS = 2000
LIMIT_S = 20.0


def rendered(store: LocalStore, video_id: str, fingerprint: str = "f") -> LedgerRecord:
    info = store.put_bytes(keys.video(video_id, fingerprint), b"film", overwrite=True)
    return LedgerRecord(
        id=video_id,
        state="rendered",
        fingerprint=fingerprint,
        key=info.key,
        size_bytes=info.size_bytes,
        crc32=info.crc32,
    )


def failed(video_id: str, error: str = "EncodeError") -> LedgerRecord:
    return LedgerRecord(
        id=video_id, state="failed", fingerprint="f", error=error, message="it said\x1b[31m no"
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "out")


@pytest.fixture
def job(store: LocalStore) -> LocalStore:
    """One video of every kind."""
    ledger = Ledger(store)
    for record in (rendered(store, "done"), failed("bad"), failed("again")):
        ledger.append(record)
    ledger.append(replace(failed("again"), state="requeued", error=None, message=None))
    leases = Leases(store, LeaseOptions())
    assert leases.acquire("now", "f") is not None
    assert leases.acquire("again-now", "f") is not None
    ledger.append(failed("again-now"))
    released = leases.acquire("bad", "f")
    assert released is not None
    released.release(done=False)
    bad_row = Rejection(row=7, id="odd", column="width", value="50", reason="odd", file="m.csv")
    put_rejected(store, [bad_row])
    return store


def test_the_states_of_a_store(job: LocalStore) -> None:
    status = read_status(job)
    assert {video.id: video.state for video in status.videos} == {
        "done": "rendered",
        "bad": "failed",
        "again": "pending",
        "now": "rendering",
        "again-now": "rendering",
        "odd": "rejected",
    }
    assert not status.is_clean
    by_id = {video.id: video for video in status.videos}
    assert by_id["done"].key == "videos/done/f.mp4"
    assert by_id["bad"].reason.startswith("EncodeError: it said")
    assert by_id["again"].attempt == 2
    assert ", process " in (by_id["now"].holder or "")
    assert by_id["now"].since is not None
    assert "m.csv, row 7 (odd): width = 50: odd" in by_id["odd"].reason
    assert json.loads(status_json(status))["counts"]["rendering"] == 2
    assert totals_text(status) == (
        "6 videos: 1 rendered, 2 rendering, 1 pending, 1 failed, 1 rejected"
    )


def test_a_manifest_adds_the_rows_that_nobody_has_begun(job: LocalStore, tmp_path: Path) -> None:
    rows = [row(i) for i in ("done", "new", "odd", "now", "bad")]
    rows.append(row("silent", prompt=""))
    manifest = Manifest.open(str(write(tmp_path / "m.parquet", rows)))
    status = read_status(job, manifest)
    assert [(video.id, video.state) for video in status.videos] == [
        ("done", "rendered"),
        ("new", "pending"),
        ("odd", "rejected"),
        ("now", "rendering"),
        ("bad", "failed"),
        ("silent", "rejected"),
    ]


def test_a_store_without_a_job_is_clean(store: LocalStore) -> None:
    status = read_status(store)
    assert (status.videos, status.is_clean) == ((), True)


def test_retry_resets_what_failed_and_nothing_else(job: LocalStore) -> None:
    ledger = Ledger(job)
    for _ in range(3):
        ledger.append(failed("bad"))
    assert ledger.finished("bad", "f").num_failures == 4
    assert [record.id for record in requeue(job)] == ["again-now", "bad"]
    verdict = ledger.finished("bad", "f")
    assert (verdict.num_failures, verdict.last_failure, verdict.reason) == (0, None, "requeued")
    assert ledger.finished("done", "f").done
    assert read_results(job)["bad"].state == "requeued"
    assert requeue(job) == []
    ledger.append(failed("bad"))
    assert ledger.finished("bad", "f").num_failures == 1


@pytest.mark.parametrize("wrong", ["done", "nobody", "../../etc", "again"])
def test_retry_of_what_did_not_fail_writes_nothing(job: LocalStore, wrong: str) -> None:
    before = list(job.list_keys(""))
    with pytest.raises(NotFailedError, match=wrong):
        requeue(job, ["bad", wrong])
    assert list(job.list_keys("")) == before


def test_what_the_store_did_is_no_fault_of_the_video(store: LocalStore) -> None:
    ledger = Ledger(store)
    for _ in range(5):
        ledger.append(failed("a", "StoreFullError"))
    ledger.append(failed("a"))
    assert ledger.finished("a", "f").num_failures == 1
    assert ledger.finished("a", "another-request").num_failures == 0


def test_a_rival_s_record_stands_and_mine_is_not_written(store: LocalStore) -> None:
    ledger = Ledger(store)
    mine = rendered(store, "a")
    rival = ledger.append(replace(mine, job="rival"))
    assert ledger.settle(mine, last_attempt=0) == rival
    assert ledger.settle(failed("a"), last_attempt=0) == rival
    assert ledger.settle(mine, last_attempt=1).attempt == 2
    assert ledger.settle(replace(mine, fingerprint="g"), last_attempt=0).attempt == 3
    assert len(list(ledger.history("a"))) == 3


def test_results_spare_requests_and_are_never_believed_over_the_ledger(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(store)
    ledger.append(replace(rendered(store, "a"), quality={"seam": 1.0}, kept="checkpoints/a/f/"))
    ledger.append(failed("b"))
    put_results(store, ledger.latest())
    ledger.append(rendered(store, "b"))
    expected = list(ledger.latest())
    read, get_bytes = [], LocalStore.get_bytes

    def counted(self: LocalStore, key: str) -> bytes:
        read.append(key)
        return get_bytes(self, key)

    monkeypatch.setattr(LocalStore, "get_bytes", counted)
    assert list(ledger.latest(read_results(store))) == expected
    assert read == ["ledger/b/000002.json"]
    store.put_bytes(keys.RESULTS, b"PAR1 not", overwrite=True)
    assert list(ledger.latest(read_results(store))) == expected


PROGRAM = """
import sys
sys.argv = ["nightreel", *sys.argv[1:]]
from jobs.cli import main
try:
    main()
finally:
    print(sorted({"ray", "torch", "diffusers"} & set(sys.modules)), file=sys.stderr)
"""


def test_status_needs_neither_ray_nor_torch_and_is_quick(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "out")
    for number in range(NUM_VIDEOS):
        folder = tmp_path / "out" / "ledger" / f"v{number:04d}"
        folder.mkdir(parents=True)
        text = {"id": folder.name, "state": "failed", "fingerprint": "f", "error": "E"}
        (folder / "000001.json").write_text(json.dumps(text))
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "status", store.uri],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    took_s = time.monotonic() - began_s
    assert done.returncode == 3, done.stderr
    assert done.stderr.strip().endswith("[]")
    hidden = NUM_VIDEOS - SHOWN_OF_A_STATE
    assert f"{NUM_VIDEOS} videos: {NUM_VIDEOS} failed; {hidden} not shown" in done.stdout
    assert took_s < LIMIT_S
