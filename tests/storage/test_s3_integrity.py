"""What only a real server shows: damaged bodies, lost answers, killed uploads, rival writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.retries.standard import ExponentialBackoff

from pipeline.errors import (
    ObjectCorruptError,
    ObjectExistsError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
)
from storage import backoff, keys, s3, s3_object, s3_upload
from storage.leases import LeaseOptions, Leases
from storage.ledger import Ledger
from storage.open import open_store
from storage.record import LedgerRecord
from storage.results import put_results, read_results
from tests.s3_faults import Fault, FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.s3 import S3Store
    from tests.s3_server import S3Server

pytestmark = pytest.mark.s3

ROOT = Path(__file__).parents[2]
PART_BYTES = 5 << 20
FILM = os.urandom(PART_BYTES + 1000)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(FILM)
    return path


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_server.endpoint_url) as running:
        yield running


def store_at(server: S3Server, bucket: str, url: str, **changes: object) -> S3Store:
    options = server.options(
        **{
            "endpoint_url": url,
            "part_bytes": PART_BYTES,
            "multipart_threshold_bytes": PART_BYTES,
            "max_attempts": 4,
            "upload_threads": 2,
            **changes,
        }
    )
    store = open_store(f"s3://{bucket}/job", s3=options)
    assert not hasattr(store, "_root")
    return store  # type: ignore[return-value]


@pytest.fixture
def store(
    s3_server: S3Server, s3_bucket: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> S3Store:
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    return store_at(s3_server, s3_bucket, proxy.url)


def uploads_in(server: S3Server, bucket: str) -> list[str]:
    return [
        u["Key"] for u in server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    ]


def test_a_body_damaged_on_its_way_is_sent_again(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Fault("corrupt", method="PUT", times=2))
    store.put_bytes("a", b"film")
    assert store.get_bytes("a") == b"film"
    assert proxy.seen["PUT"] == 3


def test_a_body_damaged_every_time_is_given_up(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Fault("corrupt", method="PUT", times=100))
    with pytest.raises(ObjectCorruptError, match=r"XAmzContentSHA256Mismatch|BadDigest"):
        store.put_bytes("a", b"film")
    assert store.head("a") is None


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_the_server_checks_what_we_say_of_a_body(
    s3_server: S3Server,
    s3_bucket: str,
    film: Path,
    checksums: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signature covers what is sent; only our own checksum covers what was read before."""

    def of_other_data(data: bytes, *, checksums: bool) -> dict[str, str]:
        return s3_object.body_check(data + b"!", checksums=checksums)

    monkeypatch.setattr(s3, "body_check", of_other_data)
    monkeypatch.setattr(s3_upload, "body_check", of_other_data)
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", 0.01)
    store = store_at(s3_server, s3_bucket, s3_server.endpoint_url, checksums=checksums)
    with pytest.raises(ObjectCorruptError, match="BadDigest"):
        store.put_bytes("small", b"film")
    with pytest.raises(ObjectCorruptError, match="part 1: BadDigest"):
        store.put_file("large", film)
    assert list(store.list_keys("")) == []


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_a_part_damaged_on_its_way_is_sent_again(
    s3_server: S3Server, s3_bucket: str, proxy: FaultProxy, film: Path, checksums: str
) -> None:
    store = store_at(s3_server, s3_bucket, proxy.url, checksums=checksums)
    proxy.add(Fault("corrupt", method="PUT", path="partNumber=2"))
    info = store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") == info
    assert store.get_bytes("videos/a/f.mp4") == FILM


@pytest.mark.parametrize(
    "place", ["POST:uploads", "PUT:partNumber=2", "POST:uploadId", "HEAD:f.mp4"]
)
def test_every_request_of_an_upload_may_fail(
    store: S3Store, proxy: FaultProxy, film: Path, place: str
) -> None:
    method, _, path = place.partition(":")
    for action in ("refuse", "reset", "lose"):
        proxy.add(Fault(action, method=method, path=path))  # type: ignore[arg-type]
    info = store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") == info


def test_a_lost_answer_is_no_rival(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Fault("lose", method="PUT"))
    store.put_bytes("a", b"film")
    assert store.get_bytes("a") == b"film"
    with pytest.raises(ObjectExistsError):
        store.put_bytes("a", b"film")


def test_a_rival_between_looking_and_writing(
    store: S3Store, proxy: FaultProxy, s3_server: S3Server, s3_bucket: str, film: Path
) -> None:
    """Looking first finds nothing; the server's own condition must stop both kinds of write."""
    client = s3_server.client()

    class Rival(Fault):
        def fits(self, method: str, path: str) -> bool:
            if super().fits(method, path) and self.times:
                client.put_object(Bucket=s3_bucket, Key="job/a", Body=b"rival")
            return False

    proxy.add(Rival("reset", method="PUT", path="job/a"))
    with pytest.raises(ObjectExistsError):
        store.put_bytes("a", b"mine")
    client.delete_object(Bucket=s3_bucket, Key="job/a")
    with pytest.raises(ObjectExistsError):
        store.put_file("a", film)
    assert store.get_bytes("a") == b"rival"
    assert uploads_in(s3_server, s3_bucket) == []


def test_conflicts_start_the_upload_anew(store: S3Store, proxy: FaultProxy, film: Path) -> None:
    conflict = {"status": 409, "code": "ConditionalRequestConflict"}
    proxy.add(Fault("refuse", method="POST", path="uploadId", times=2, **conflict))  # type: ignore[arg-type]
    proxy.add(Fault("refuse", method="PUT", path="job/small", **conflict))  # type: ignore[arg-type]
    store.put_file("a", film)
    store.put_bytes("small", b"x")
    assert store.get_bytes("a") == FILM
    assert proxy.seen["DELETE"] == 2


def test_a_failed_upload_leaves_nothing(
    store: S3Store, proxy: FaultProxy, s3_server: S3Server, s3_bucket: str, film: Path
) -> None:
    proxy.add(Fault("refuse", method="PUT", path="partNumber=2", times=100))
    with pytest.raises(StoreUnavailableError, match=r"videos/a/f\.mp4 .*part 2: SlowDown"):
        store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") is None
    assert uploads_in(s3_server, s3_bucket) == []


def test_expired_credentials_in_mid_upload(
    store: S3Store, proxy: FaultProxy, s3_server: S3Server, s3_bucket: str, film: Path
) -> None:
    expired = {"status": 400, "code": "ExpiredToken"}
    proxy.add(Fault("refuse", path="partNumber=2", times=100, **expired))  # type: ignore[arg-type]
    with pytest.raises(StoreAccessError, match="ExpiredToken"):
        store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") is None
    assert uploads_in(s3_server, s3_bucket) == []


def test_a_file_that_changes_while_it_is_uploaded(
    store: S3Store, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_crc32 = s3.crc32_of_file

    def then_change(path: Path) -> tuple[int, int]:
        result = true_crc32(path)
        path.write_bytes(FILM[::-1])
        return result

    monkeypatch.setattr(s3, "crc32_of_file", then_change)
    with pytest.raises(ObjectCorruptError, match="changed"):
        store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") is None


UPLOAD = """
import sys
from pathlib import Path
from storage.connection import S3Options
from storage.open import open_store
options = S3Options(endpoint_url=sys.argv[1], region="us-east-1", addressing_style="path",
                    part_bytes=5 << 20, multipart_threshold_bytes=5 << 20, upload_threads=1)
open_store(sys.argv[2], s3=options).put_file("videos/a/f.mp4", Path(sys.argv[3]))
"""


def test_a_killed_upload_is_never_seen_and_can_be_swept(
    store: S3Store, proxy: FaultProxy, s3_server: S3Server, s3_bucket: str, film: Path
) -> None:
    stuck = proxy.add(Fault("hang", method="PUT", path="partNumber=2"))
    writer = subprocess.Popen(
        [sys.executable, "-c", UPLOAD, proxy.url, f"s3://{s3_bucket}/job", film], cwd=ROOT
    )
    assert stuck.reached.wait(60)
    writer.send_signal(signal.SIGKILL)
    writer.wait(30)
    assert store.head("videos/a/f.mp4") is None
    assert list(store.list_keys("")) == []
    assert uploads_in(s3_server, s3_bucket) == ["job/videos/a/f.mp4"]
    other = open_store(f"s3://{s3_bucket}/another-job", s3=s3_server.options())
    assert other.sweep_unfinished(older_than_s=0) == 0
    assert store.sweep_unfinished(older_than_s=3600) == 0
    assert store.sweep_unfinished(older_than_s=-60) == 1
    assert uploads_in(s3_server, s3_bucket) == []
    info = store.put_file("videos/a/f.mp4", film)
    assert store.head("videos/a/f.mp4") == info


def test_broken_downloads_are_asked_for_again(
    store: S3Store, proxy: FaultProxy, film: Path, tmp_path: Path
) -> None:
    info = store.put_file("a", film)
    for action in ("truncate", "reset", "refuse", "truncate"):
        proxy.add(Fault(action, method="GET"))  # type: ignore[arg-type]
    assert store.get_file("a", tmp_path / "back") == info
    assert (tmp_path / "back").read_bytes() == FILM


def test_a_download_that_isnt_what_was_uploaded(
    store: S3Store, s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    note = {"nightreel-crc32": "00000001"}
    s3_server.client().put_object(Bucket=s3_bucket, Key="job/a", Body=b"x", Metadata=note)
    (tmp_path / "back").write_bytes(b"as before")
    with pytest.raises(ObjectCorruptError, match="the store says 00000001"):
        store.get_file("a", tmp_path / "back")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"as before"]


def test_an_upload_the_server_stored_differently(
    store: S3Store, proxy: FaultProxy, s3_server: S3Server, s3_bucket: str, film: Path
) -> None:
    """Whoever replaces the object at once is found by the last look, not taken for the film."""

    class Replace(Fault):
        def fits(self, method: str, path: str) -> bool:
            if super().fits(method, path) and "partNumber" not in path and proxy.seen["HEAD"] == 2:
                s3_server.client().put_object(Bucket=s3_bucket, Key="job/a", Body=b"other")
            return False

    proxy.add(Replace("reset", method="HEAD"))
    with pytest.raises(ObjectCorruptError, match="after the upload the store has"):
        store.put_file("a", film)


def test_servers_without_conditional_writes(
    s3_server: S3Server, s3_bucket: str, proxy: FaultProxy, film: Path
) -> None:
    lacking = {"status": 501, "code": "NotImplemented", "times": 1}
    strict = store_at(s3_server, s3_bucket, proxy.url, conditional_writes="on")
    proxy.add(Fault("refuse", method="PUT", **lacking))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="NotImplemented"):
        strict.put_bytes("a", b"1")
    lenient = store_at(s3_server, s3_bucket, proxy.url)
    proxy.add(Fault("refuse", method="PUT", **lacking))  # type: ignore[arg-type]
    lenient.put_bytes("a", b"1")
    assert proxy.seen["PUT"] == 3
    off = store_at(s3_server, s3_bucket, proxy.url, conditional_writes="off")
    for store in (lenient, off):
        with pytest.raises(ObjectExistsError):
            store.put_bytes("a", b"2")
    off.put_file("b", film)
    assert off.get_bytes("a") == b"1"


def test_servers_without_full_object_checksums(
    s3_server: S3Server, s3_bucket: str, proxy: FaultProxy, film: Path
) -> None:
    store = store_at(s3_server, s3_bucket, proxy.url)
    proxy.add(Fault("refuse", method="POST", path="uploads", status=501, code="NotImplemented"))
    info = store.put_file("a", film)
    assert store.head("a") == info


def test_a_night_on_a_bad_network(store: S3Store, proxy: FaultProxy, film: Path) -> None:
    actions = ("refuse", "lose", "reset")
    for number in range(18):
        proxy.add(Fault(actions[number % 3], skip=2 + number))  # type: ignore[arg-type]
    ledger = Ledger(store)
    for video_id in "abc":
        info = store.put_file(f"videos/{video_id}/f.mp4", film)
        ledger.append(
            LedgerRecord(
                id=video_id,
                state="rendered",
                fingerprint="f",
                key=info.key,
                size_bytes=info.size_bytes,
                crc32=info.crc32,
            )
        )
    assert all(ledger.finished(video_id, "f").done for video_id in "abc")
    assert [record.attempt for record in ledger.latest()] == [1, 1, 1]


@pytest.mark.slow
def test_three_of_ten_requests_go_wrong(
    s3_server: S3Server,
    s3_bucket: str,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything that a driver asks of a store, each time until it is done, and once."""
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film" * 1000)
    store = store_at(
        s3_server, s3_bucket, proxy.url, max_attempts=12, multipart_threshold_bytes=1000
    )
    proxy.make_faulty(0.3, seed=4)
    store.check()
    leases, ledger = Leases(store, LeaseOptions(settle_s=0.01)), Ledger(store)
    ids = [f"video-{number}" for number in range(6)]
    for video_id in ids:
        lease = leases.acquire(video_id, "f")
        assert lease is not None
        store.sweep_unfinished(60, keys.videos_of(video_id))
        info = store.put_file(keys.video(video_id, "f"), film)
        assert lease.renew()
        record = LedgerRecord(
            id=video_id,
            state="rendered",
            fingerprint="f",
            key=info.key,
            size_bytes=info.size_bytes,
            crc32=info.crc32,
        )
        ledger.verify(record)
        assert ledger.settle(record, 0).attempt == 1
        assert ledger.finished(video_id, "f").done
        lease.release(done=True)
    put_results(store, ledger.latest())
    assert set(read_results(store)) == set(ids)
    assert list(store.list_keys(keys.LEASES)) == []
    assert proxy.caused.total() > 0.2 * proxy.seen.total()
    assert set(proxy.caused) == {"refuse", "reset", "lose", "truncate", "delay"}
