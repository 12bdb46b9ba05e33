"""Attaching to a cluster: what is wrong is said in one line.

That the right token opens it is shown in ``tests/e2e``, where programs render on this cluster.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from tests.manifests import SMALL, row, write

pytestmark = pytest.mark.cluster


def attach(tmp_path: Path, address: str, token: str) -> subprocess.CompletedProcess[str]:
    manifest = write(tmp_path / "manifest.parquet", [row("clip", num_frames=5)])
    return subprocess.run(
        [
            Path(sys.executable).with_name("nightreel"),
            *("render", manifest, f"--output={tmp_path / 'out'}", *SMALL, "gang.actors=1"),
        ],
        env={**os.environ, "RAY_AUTH_TOKEN": token, "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# Ray tries again for a while before it believes it.
@pytest.mark.slow
@pytest.mark.longest
def test_a_wrong_token_is_named_as_such(ray_cluster: None, tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    done = attach(tmp_path, address, "not-the-token-of-this-cluster")
    assert done.returncode == 4
    last_line = done.stderr.strip().splitlines()[-1]
    assert f"ClusterError: can't use Ray at {address}" in last_line
    assert "is its token the one in RAY_AUTH_TOKEN" in last_line
    assert "Traceback" not in done.stderr
    assert "not-the-token" not in done.stderr
    assert not list(tmp_path.glob("out/videos/clip/*.mp4"))


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        done = attach(tmp_path, address, "any")
    assert done.returncode == 4
    assert f"ClusterError: no Ray cluster answers at {address}" in done.stderr
