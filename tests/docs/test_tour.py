"""The README's night shift works as written, on a head that is started for it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.job_queue import JobQueue
from storage.open import open_store
from tests.docs.test_readme import README, ROOT, TOUR
from tests.queue.ray_head import ray_head

if TYPE_CHECKING:
    from pathlib import Path

DASHBOARD = "http://127.0.0.1:8265"


def commands(address: str) -> str:
    """The tour as a script; the head and its token are there already, on ports of their own.

    Nobody sits before a screen: what would be shown in a browser is copied.
    """
    tour = README.partition(TOUR)[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", tour, flags=re.DOTALL)
    lines = [line for line in block.splitlines() if ".venv/bin/ray " not in line]
    script = "\n".join(lines).replace(DASHBOARD, address)
    script = script.replace(".venv/bin/python", sys.executable)
    return script.replace(".venv/bin/nightreel", f"{sys.executable} -m jobs.cli")


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(1200)
def test_the_night_shift_works_as_written(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    rows = [{"id": "dune", "duration_s": 3.0, "prompt": "a red ball rolls in the desert"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tonight.parquet")
    with ray_head(tmp_path) as head:
        script = commands(head.address)
        assert script.count("jobs.cli") == 10
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**head.environment, "BROWSER": f"cp %s {tmp_path / 'opened.html'}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=1100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    jobs = {
        j.request.id.partition("-")[0]: j
        for j in JobQueue(open_store(str(tmp_path / "queue"))).jobs()
    }
    assert {name: job.state for name, job in jobs.items()} == {
        "demo": "finished",
        "tonight": "cancelled",
        "nightly": "finished",
    }
    assert len(list((tmp_path / "out" / "demo").glob("videos/*/*.mp4"))) == 3
    assert not (tmp_path / "out" / "tonight" / "videos").exists()
    assert len(list((tmp_path / "out" / "nightly").glob("*/videos/dune/*.mp4"))) == 1
    assert "a red ball rolls" in (tmp_path / "opened.html").read_text("utf-8")
