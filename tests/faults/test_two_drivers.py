"""Two drivers started on one job at the same time deliver each video once."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from jobs.status import read_status
from storage.open import open_store
from tests.e2e.program import program
from tests.faults.outcome import check_delivered_once, command, store_settings
from tests.manifests import row, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.program import Program
    from tests.faults.outcome import Store
    from tests.s3_server import S3Server

pytestmark = pytest.mark.cluster

IDS = ("a", "b", "c", "d")


def rendered_by(run: Program) -> list[str]:
    return re.findall(r"video (\w+): rendered", run.said)


def race(tmp_path: Path, store: Store, commands: list[str]) -> None:
    with program(tmp_path / "one", *commands) as one, program(tmp_path / "two", *commands) as two:
        assert one.wait() == 0, one.said
        assert two.wait() == 0, two.said
        assert sorted(rendered_by(one) + rendered_by(two)) == sorted(IDS), one.said + two.said
        assert one.leftovers() == two.leftovers() == []
    check_delivered_once(store, IDS, tmp_path / "films")


@pytest.mark.faults
@pytest.mark.longest
def test_in_a_folder(tmp_path: Path, ray_cluster: None) -> None:
    out = str(tmp_path / "out")
    manifest = write(tmp_path / "manifest.parquet", [row(i, num_frames=37) for i in IDS])
    race(tmp_path, open_store(out), command(manifest, out))


@pytest.mark.s3
@pytest.mark.faults
@pytest.mark.longest
def test_in_a_bucket(
    tmp_path: Path, s3_server: S3Server, s3_bucket: str, ray_cluster: None
) -> None:
    """Swift's create-only writes are not atomic: the leases must see to it."""
    uri, options = f"s3://{s3_bucket}/night", s3_server.options()
    manifest = write(tmp_path / "manifest.parquet", [row(i, num_frames=37) for i in IDS])
    race(
        tmp_path,
        open_store(uri, s3=options),
        command(manifest, uri, *store_settings(options)),
    )


@pytest.mark.faults
@pytest.mark.longest
def test_a_stopped_driver_loses_its_video_and_knows_it(tmp_path: Path, ray_cluster: None) -> None:
    """SIGSTOP, as a laptop's lid does it: the lease runs out, the other one takes over."""
    out = str(tmp_path / "out")
    manifest = write(tmp_path / "manifest.parquet", [row("a", num_frames=401)])
    commands = command(manifest, out, "lease.ttl_s=6", "lease.settle_s=0.1")
    slow = "engine.gaussian.window_cost_s=0.5"
    with program(tmp_path / "one", *commands, slow) as one:
        one.wait_until(lambda: "video a: sampling" in one.said, "sampling")
        one.process.send_signal(signal.SIGSTOP)
        assert read_status(open_store(out)).counts["rendering"] == 1
        with program(tmp_path / "two", *commands) as two:
            assert two.wait() == 0, two.said
            assert rendered_by(two) == ["a"]
            assert "waiting for what other drivers render: a" in two.said
        time.sleep(1)
        one.process.send_signal(signal.SIGCONT)
        assert one.wait() == 0, one.said
        assert rendered_by(one) == []
        assert "video a: left, video 'a': another driver has taken it over" in one.said
        assert "1 there already" in one.said
    check_delivered_once(open_store(out), ["a"], tmp_path / "films")
