"""One run of the real command, ``nightreel render``, in a process of its own, watched from outside.

A manifest of two rows: a short video that warms everything up (Ray, the actors, the allocator,
ffmpeg's binary in the page cache), then the one that is measured. Times are those of the measured
video's sidecar; memory is the highest of the whole run.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.processes import ProcessWatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.processes import Process

WARM_UP_S = 6.0

# How long a run that is interrupted may take to end its actors.
CLOSE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of the command showed.

    Attributes:
        driver: process id of the command itself.
        sidecar: of the measured video, as the command wrote it.
        processes: the command and everything that it started.
    """

    driver: int
    sidecar: dict[str, Any]
    processes: list[Process]

    def timing(self, name: str) -> float:
        """One of the sidecar's timings."""
        return float(self.sidecar["timings"][name])


def render(duration_s: float, settings: Sequence[str]) -> Run:
    """Render a video of that length with ``key=value`` settings, into a folder that is removed.

    Raises:
        RuntimeError: the command failed; the message holds what it said.
    """
    with tempfile.TemporaryDirectory(prefix="nr-bench-") as folder:
        output = Path(folder) / "out"
        _write_manifest(Path(folder) / "videos.parquet", duration_s)
        command = [sys.executable, "-m", "jobs.cli", "render", f"{folder}/videos.parquet"]
        said = Path(folder) / "said.txt"
        with said.open("w") as log:
            process = subprocess.Popen(
                [*command, "--output", str(output), *settings],
                env=environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                with ProcessWatch(process.pid) as watch:
                    code = process.wait()
            except BaseException:
                # Ctrl-C reaches the command too, which then ends what it started.
                process.terminate()
                process.wait(CLOSE_TIMEOUT_S)
                raise
        if code != 0:
            raise RuntimeError(f"nightreel render ended with {code}:\n{said.read_text()}")
        (sidecar,) = output.glob("videos/measured/*.json")
        return Run(
            driver=process.pid,
            sidecar=json.loads(sidecar.read_text()),
            processes=watch.processes(),
        )


def _write_manifest(path: Path, duration_s: float) -> None:
    rows = [
        {"id": "warm-up", "prompt": "a field of colours", "duration_s": WARM_UP_S},
        {"id": "measured", "prompt": "a field of colours", "duration_s": duration_s},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def environment() -> dict[str, str]:
    """Ours, with a token of its own for Ray, and no cluster to attach to."""
    environment = {**os.environ, "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    environment["RAY_USAGE_STATS_ENABLED"] = "0"
    environment.pop("RAY_ADDRESS", None)
    return environment
