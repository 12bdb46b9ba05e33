"""``python -m tests.faults.running_out FOLDER SCENARIO``: nodes that have too little memory."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
import ray
import torch

from actors.failures import SegmentDiedError
from benchmarks.chaos.nodes import nodes_of
from storage.open import StoreConfig
from tests.cluster.gangs import GAUSSIAN, Notes, gang_of, latents_of, order
from tests.faults.object_store import contents
from tests.faults.renders import plan_of, undisturbed

if TYPE_CHECKING:
    from pipeline.plan import VideoPlan

MIB = 1 << 20
STEPS = 24


def spill(store: StoreConfig) -> None:
    """More boundaries are kept than shared memory holds: Ray spills them, and a replay reads them.

    Without a snapshot the boundaries of all steps are kept, and whoever dies replays from the
    first.
    """
    plan = plan_of(STEPS, width=2048, height=1152)
    with nodes_of(3), gang_of(3, store) as gang:
        victim = psutil.Process(gang._crew.pid_of(1) or 0)

        def kill(report: object) -> None:
            if len(notes.steps) == 3 * (STEPS - 1):
                victim.kill()

        notes = Notes(on_report=kill)
        take = gang.begin(plan)
        take.sample(notes)
        assert gang.losses.deaths == 1
        assert take.retained.max_bytes > 100 * MIB, take.retained.max_bytes
        assert contents().spilled_bytes > 0
        assert torch.equal(latents_of(take), undisturbed(plan))


def kill_for_memory(store: StoreConfig) -> None:
    """A video that takes more memory than the node has fails by name; the next one renders."""
    before = psutil.virtual_memory()
    # Room for Ray, for the actor itself and for half of what the large video takes.
    threshold = (before.total - before.available + 2500 * MIB) / before.total
    os.environ.update(
        RAY_memory_usage_threshold=f"{threshold:.4f}", RAY_memory_monitor_refresh_ms="100"
    )
    with nodes_of(1), gang_of(1, store, GAUSSIAN) as gang:
        with pytest.raises(SegmentDiedError, match=r"clip.*segment 0.*memory"):
            gang.render(huge_plan(), order(), Notes())
        assert gang.losses.deaths > 1
        plan = plan_of()
        take = gang.begin(plan)
        take.sample(Notes())
        assert torch.equal(latents_of(take), undisturbed(plan))


def huge_plan() -> VideoPlan:
    """Latents of three gigabytes."""
    from tests.cluster.gangs import oracle
    from tests.plans import small_plan

    return small_plan(oracle(), 24_001, num_steps=4, width=1920, height=1056)


SCENARIOS = {"spill": spill, "kill_for_memory": kill_for_memory}

if __name__ == "__main__":
    torch.set_num_threads(1)  # as the actors do: sums over threads differ in their last bits
    SCENARIOS[sys.argv[2]](StoreConfig(uri=sys.argv[1]))
    assert not ray.is_initialized()
    print("as promised")
