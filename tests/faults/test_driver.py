"""The real command, killed at random moments and run again: everything is there, once and whole."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline.snapshot import Cut
from pipeline.snapshot_store import load_slots
from pipeline.spans import Span
from storage.open import open_store
from tests.e2e.program import program
from tests.manifests import OWN_CLUSTER, SMALL, row, write

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

VIDEOS = ("first", "second")
NUM_STEPS = 16
SETTINGS = (
    *SMALL,
    *OWN_CLUSTER,
    "engine.gaussian.window_cost_s=0.02",
    "checkpoint.every_steps=2",
    "output.keep_latents=always",
    # A killed driver gives no sign of life; the next one need not wait a minute to believe it.
    "lease.ttl_s=3",
)
MOST_RUNS = 8


def command(manifest: Path, out: Path) -> list[str]:
    return ["render", str(manifest), "--output", str(out), *SETTINGS]


def latents(out: Path, video_id: str) -> Tensor:
    """Finished latents as they lie in the store, whatever plan they are of."""
    store = open_store(str(out))
    (key,) = [k for k in store.list_keys(f"checkpoints/{video_id}/") if k.endswith(".json")]
    cut = Cut.from_bytes(store.get_bytes(key), key)
    assert cut.is_last
    return load_slots(store, cut, Span(0, cut.num_slots), Span(0, 0))[0]


@pytest.mark.timeout(900)
def test_a_driver_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    rows = [row(v, num_frames=201, num_inference_steps=NUM_STEPS, seed=3) for v in VIDEOS]
    manifest = write(tmp_path / "manifest.parquet", rows)
    calm, out, scratch = tmp_path / "calm", tmp_path / "out", tmp_path / "scratch"
    with program(scratch, *command(manifest, calm)) as run:
        assert run.wait() == 0, run.said

    rng, resumed = random.Random(5), 0
    for _ in range(MOST_RUNS):
        with program(scratch, *command(manifest, out)) as run:
            # All may be there already: the last run was killed between its last film and its end.
            run.wait_until(lambda: "sampling" in run.said or run.has_ended, "first step")
            end_s = time.monotonic() + rng.uniform(0.0, 4.0)
            while time.monotonic() < end_s and run.process.poll() is None:
                time.sleep(0.02)
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
            resumed += "from the snapshot at step" in run.said
            assert [name for name in run.leftovers() if "scratch" not in name] == []
            if run.process.returncode == 0:
                break
    else:
        with program(scratch, *command(manifest, out)) as run:
            assert run.wait() == 0, run.said
            resumed += "from the snapshot at step" in run.said
    assert resumed > 0
    for video in VIDEOS:
        assert torch.equal(latents(out, video), latents(calm, video))
        (film,) = out.glob(f"videos/{video}/*.mp4")
        assert film.read_bytes() == calm.joinpath(*film.relative_to(out).parts).read_bytes()
        records = [json.loads(path.read_bytes()) for path in out.glob(f"ledger/{video}/*.json")]
        assert [record["state"] for record in records].count("rendered") == 1
