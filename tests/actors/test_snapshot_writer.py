"""A process that ends while a snapshot is written does not wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
import time
from actors.snapshot_writer import SnapshotWriter
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from tests.faults.slow_store import SlowStoreConfig
from tests.plans import small_gaussian, small_plan

engine = small_gaussian()
plan = small_plan(engine, 33)
prompts = dict(zip(plan.prompts, engine.encode_prompts(plan.prompts), strict=True))
sampler = SegmentSampler(plan, cut(plan.boundary, 1, plan.num_steps), 0, engine, prompts)
store = SlowStoreConfig(uri=sys.argv[1], snapshot_s=600.0)
SnapshotWriter(store, "checkpoints/clip/f/").save(sampler)
while not store.marker.exists():
    time.sleep(0.01)
print("writing")
"""


def test_a_process_ends_though_it_is_writing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "writing"), done.stderr
