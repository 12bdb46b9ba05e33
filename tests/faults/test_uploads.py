"""A whole ``nightreel render`` against a store that is slow, throttled, cut off, or goes away.

The store is a real S3 server behind a proxy that loses, refuses and cuts requests.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from botocore.exceptions import ClientError

from storage import keys
from storage.ledger import Ledger
from storage.open import open_store
from tests.e2e.program import program
from tests.faults.outcome import check_delivered_once, check_whole, command, store_settings
from tests.manifests import row, write
from tests.s3_faults import Fault, FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.s3 import S3Store
    from tests.s3_server import S3Server

pytestmark = [pytest.mark.cluster, pytest.mark.s3]

# Every film goes in parts, though the first is the last one.
PARTS = {"multipart_threshold_bytes": 1000}
SHARE = 0.3
SEED = 7


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_server.endpoint_url) as running:
        yield running


@pytest.fixture
def store(s3_server: S3Server, s3_bucket: str) -> S3Store:
    """The output URI, past the proxy."""
    return open_store(f"s3://{s3_bucket}/night", s3=s3_server.options())  # type: ignore[return-value]


def render(
    server: S3Server, proxy: FaultProxy, store: S3Store, manifest: Path, **settings: object
) -> list[str]:
    options = server.options(endpoint_url=proxy.url)
    return command(manifest, store.uri, *store_settings(options, **PARTS, **settings))


@pytest.mark.faults
def test_a_driver_killed_in_mid_upload_and_another_before_its_ledger_record(
    tmp_path: Path,
    s3_server: S3Server,
    proxy: FaultProxy,
    store: S3Store,
    ray_cluster: None,
) -> None:
    """The half-done upload is aborted; the one that is done is taken up, not made again."""
    manifest = write(tmp_path / "manifest.parquet", [row("a", num_frames=37)])
    arguments = render(s3_server, proxy, store, manifest)
    scratch, films = tmp_path / "scratch", tmp_path / "films"

    stuck = proxy.add(Fault("hang", method="PUT", path="partNumber=1"))
    with program(scratch, *arguments) as run:
        run.wait_until(stuck.reached.is_set, "upload")
        # Driver and actor at once: an actor that outlives its driver aborts the upload itself.
        kill_all_that_talk_to(proxy)
        run.process.wait(60)
    assert check_whole(store, films) == {}
    assert [write.key.rpartition(".")[2] for write in store.list_unfinished("")] == ["mp4"]

    stuck = proxy.add(Fault("hang", method="PUT", path="/ledger/"))
    with program(scratch, *arguments) as run:
        run.wait_until(stuck.reached.is_set, "ledger record")
        run.process.kill()
        run.process.wait(60)
    assert check_whole(store, films) == {}
    assert list(store.list_unfinished("")) == []
    made = {found.key: found.modified_at for found in store.list_objects(keys.VIDEOS)}
    assert len(made) == 3

    with program(scratch, *arguments) as run:
        assert run.wait() == 0, run.said
        assert "1 there already" in run.said
        assert not run.started_ray
    check_delivered_once(store, ["a"], films)
    record = Ledger(store).current("a")
    assert record is not None
    assert {"num_joins", "color_distance"} <= record.quality.keys()
    assert made == {found.key: found.modified_at for found in store.list_objects(keys.VIDEOS)}


@pytest.mark.faults
@pytest.mark.longest
def test_a_night_in_which_three_of_ten_requests_go_wrong(
    tmp_path: Path, s3_server: S3Server, proxy: FaultProxy, store: S3Store, ray_cluster: None
) -> None:
    ids = ["a", "b", "c"]
    manifest = write(tmp_path / "manifest.parquet", [row(i, num_frames=37) for i in ids])
    proxy.make_faulty(SHARE, SEED)
    with program(tmp_path / "scratch", *render(s3_server, proxy, store, manifest)) as run:
        assert run.wait() == 0, run.said
        assert run.leftovers() == []
    proxy.make_faulty(0.0, SEED)
    assert proxy.caused.total() > 0.2 * proxy.seen.total()
    assert set(proxy.caused) == {"refuse", "reset", "lose", "truncate", "delay"}
    check_delivered_once(store, ids, tmp_path / "films")


@pytest.mark.faults
@pytest.mark.longest
def test_credentials_that_expire_say_4_in_one_line_and_the_next_run_goes_on(
    tmp_path: Path, s3_server: S3Server, proxy: FaultProxy, store: S3Store, ray_cluster: None
) -> None:
    manifest = write(tmp_path / "manifest.parquet", [row("a", num_frames=37)])
    arguments = render(s3_server, proxy, store, manifest)
    upload = {"method": "POST", "path": "/videos/", "status": 400, "code": "ExpiredToken"}
    expired = proxy.add(Fault("refuse", times=10_000, **upload))  # type: ignore[arg-type]
    with program(tmp_path / "scratch", *arguments) as run:
        assert run.wait() == 4, run.said
        told = [line for line in run.said.splitlines() if line.startswith("nightreel: ")]
        assert len(told) == 1
        assert "StoreAccessError" in told[0]
        assert "ExpiredToken" in told[0]
        assert "Traceback" not in run.said
        assert run.leftovers() == []
    assert check_whole(store, tmp_path / "films") == {}
    expired.times = 0
    with program(tmp_path / "scratch", *arguments) as run:
        assert run.wait() == 0, run.said
    check_delivered_once(store, ["a"], tmp_path / "films")


@pytest.mark.faults
@pytest.mark.longest
def test_a_bucket_that_disappears_says_4_in_one_line(
    tmp_path: Path, s3_server: S3Server, proxy: FaultProxy, store: S3Store, ray_cluster: None
) -> None:
    manifest = write(tmp_path / "manifest.parquet", [row("a", num_frames=201)])
    arguments = render(s3_server, proxy, store, manifest)
    slow = "engine.gaussian.window_cost_s=0.05"
    with program(tmp_path / "scratch", *arguments, slow) as run:
        run.wait_until(lambda: "video a: sampling" in run.said, "sampling")
        remove_bucket(s3_server, store.uri.split("/")[2])
        assert run.wait() == 4, run.said
        told = [line for line in run.said.splitlines() if line.startswith("nightreel: ")]
        assert len(told) == 1, run.said
        assert "NoSuchBucket" in told[0]
        assert "Traceback" not in run.said


def kill_all_that_talk_to(proxy: FaultProxy) -> None:
    """SIGKILL to every process below this one that has a connection to the proxy."""
    port = int(proxy.url.rpartition(":")[2])
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(c.raddr and c.raddr.port == port for c in process.net_connections()):
                process.kill()


def remove_bucket(server: S3Server, bucket: str) -> None:
    """With all that lies in it, however busy it is."""
    client = server.client()
    for _ in range(100):
        for item in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])
        try:
            client.delete_bucket(Bucket=bucket)
        except ClientError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the bucket can't be removed")
