"""What ``nightreel clean`` removes, and what it never touches, on every kind of store."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobs.clean import CleanOptions, age_s, clean_up, removals
from pipeline.errors import ConfigError
from storage import keys
from storage.leases import LeaseOptions, Leases
from storage.ledger import Ledger
from storage.local import LocalStore
from storage.open import open_store
from storage.record import LedgerRecord
from storage.unfinished import unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from storage.s3 import S3Store
    from tests.s3_server import S3Server

    Store = LocalStore | S3Store

NOW = CleanOptions(older_than_s=-60.0)
WEEK = CleanOptions(older_than_s=age_s("7d"))


def film(store: Store, video_id: str, fingerprint: str, **changes: str) -> LedgerRecord:
    """A film with its poster and sidecar, in the ledger."""
    info = store.put_bytes(keys.video(video_id, fingerprint), b"film", overwrite=True)
    for key in (keys.poster(video_id, fingerprint), keys.sidecar(video_id, fingerprint)):
        store.put_bytes(key, b"{}", overwrite=True)
    record = LedgerRecord(
        id=video_id,
        state="rendered",
        fingerprint=fingerprint,
        key=info.key,
        size_bytes=info.size_bytes,
        crc32=info.crc32,
    )
    return Ledger(store).append(replace(record, **changes))  # type: ignore[arg-type]


def checkpoint(
    store: Store, video_id: str, fingerprint: str, name: str = "step-000020/slots-0-8"
) -> str:
    key = keys.checkpoint(video_id, fingerprint, name)
    store.put_bytes(key, b"12345678", overwrite=True)
    return key


def gone(store: Store, options: CleanOptions) -> set[tuple[str, str]]:
    """What was removed, as kinds and keys, after a look that removed nothing."""
    before = set(store.list_keys(""))
    list(clean_up(store, options, dry_run=True))
    assert set(store.list_keys("")) == before
    would = {(removal.kind, removal.key) for removal in removals(store, options)}
    list(clean_up(store, options))
    removed = before - set(store.list_keys(""))
    assert {key for kind, key in would if kind != "upload"} == removed
    assert list(clean_up(store, options)) == ["nothing to remove"]
    return would


@pytest.fixture(params=["local", pytest.param("swift", marks=[pytest.mark.s3, pytest.mark.slow])])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = request.getfixturevalue("s3_bucket")
    return open_store(f"s3://{bucket}/job", s3=server.options())


def test_checkpoints_go_when_their_video_is_done_or_given_up(store: Store) -> None:
    film(store, "done", "f1")
    film(store, "kept", "f1", kept="checkpoints/kept/f1/")
    film(store, "damaged", "f1")
    store.put_bytes(keys.video("damaged", "f1"), b"fi", overwrite=True)
    done = checkpoint(store, "done", "f1", "cuts/000008/left")
    other = checkpoint(store, "done", "f2")
    kept = checkpoint(store, "kept", "f1")
    damaged = checkpoint(store, "damaged", "f1")
    dropped = checkpoint(store, "dropped", "f1")
    assert gone(store, WEEK) == {("finished", done)}
    assert gone(store, NOW) == {
        ("abandoned", other),
        ("abandoned", damaged),
        ("abandoned", dropped),
    }
    assert gone(store, replace(NOW, kept=True)) == {("kept", kept)}
    assert Ledger(store).finished("done", "f1").done


def test_a_replaced_film_goes_only_when_asked(store: Store) -> None:
    film(store, "a", "f1")
    film(store, "a", "f2")
    Ledger(store).append(LedgerRecord(id="a", state="failed", fingerprint="f3", error="E"))
    film(store, "alone", "f1")
    # Written, and its driver died before the ledger knew of it.
    store.put_bytes(keys.video("new", "f1"), b"film")
    film(store, "lost", "f1")
    film(store, "lost", "f2")
    store.delete(keys.video("lost", "f2"))
    assert gone(store, NOW) == set()
    assert gone(store, replace(WEEK, superseded=True)) == set()
    assert gone(store, replace(NOW, superseded=True)) == {
        ("superseded", f"videos/a/f1.{suffix}") for suffix in ("mp4", "jpg", "json")
    }
    assert Ledger(store).finished("a", "f2").done


def test_a_video_that_a_driver_has_is_left_alone(store: Store) -> None:
    lease = Leases(store, LeaseOptions(settle_s=0.01)).acquire("a", "f1")
    assert lease is not None
    film(store, "a", "f0")
    film(store, "a", "f1")
    checkpoints = {checkpoint(store, "a", "f1"), checkpoint(store, "a", "f0")}
    everything = CleanOptions(older_than_s=-60.0, superseded=True, kept=True)
    assert gone(store, everything) == set()
    lease.release(done=False)
    found = gone(store, everything)
    assert {key for kind, key in found if kind == "finished"} == checkpoints
    assert sum(kind == "lease" for kind, _ in found) == 1
    assert sum(kind == "superseded" for kind, _ in found) == 3


def test_unfinished_files_of_a_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, young = (tmp_path / "videos" / "a", tmp_path / "videos" / "b")
    with unfinished(old) as first, unfinished(young) as second:
        first.write_bytes(b"123")
        long_ago_s = time.time() - 8 * 86_400
        os.utime(first, (long_ago_s, long_ago_s))
        lines = list(clean_up(store, WEEK))
        assert lines[0] == "removed 1 uploads that never ended, 3 B"
        assert not first.exists()
        assert second.exists()
    assert list(store.list_keys("")) == []


@pytest.mark.s3
def test_unfinished_uploads_of_a_bucket(s3_server: S3Server, s3_bucket: str) -> None:
    client = s3_server.client()
    for key in ("job/videos/a/f.mp4", "job/videos/busy/f.mp4", "other/videos/a/f.mp4"):
        begun = client.create_multipart_upload(Bucket=s3_bucket, Key=key)
        client.upload_part(
            Bucket=s3_bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 100
        )
    store = open_store(f"s3://{s3_bucket}/job", s3=s3_server.options())
    lease = Leases(store, LeaseOptions(settle_s=0.01)).acquire("busy", "f")
    assert lease is not None
    assert list(clean_up(store, WEEK)) == ["nothing to remove"]
    assert list(clean_up(store, NOW)) == [
        "removed 1 uploads that never ended, 100 B",
        "removed 1 in all, 100 B",
    ]
    left = client.list_multipart_uploads(Bucket=s3_bucket).get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["job/videos/busy/f.mp4", "other/videos/a/f.mp4"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("12h", 43_200), ("7d", 604_800), ("0s", 0)]
)
def test_ages(text: str, seconds: int) -> None:
    assert age_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1 week", "٣d"])
def test_ages_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 7d"):
        age_s(text)
