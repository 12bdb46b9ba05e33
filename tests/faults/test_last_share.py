"""An actor that hangs when all steps are taken: what it owes is its share of the last snapshot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from actors.snapshot_writer import FLUSH_S
from tests.cluster.gangs import Notes, gang_of, order, processes
from tests.faults.renders import PREFIX, SLOW, assert_same_bits, plan_of
from tests.faults.slow_store import SlowStoreConfig

if TYPE_CHECKING:
    from pathlib import Path

    from actors.step_report import StepReport

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

EVERY_STEPS = 2
NUM_STEPS = 4


def test_an_actor_that_hangs_while_its_last_share_is_stored_is_soon_replaced(
    ray_cluster: None, tmp_path: Path
) -> None:
    """Stopped when its last step is reported: all that it owes is what it stores."""
    store = SlowStoreConfig(uri=str(tmp_path / "store"), snapshot_s=1.0)
    with gang_of(3, store, SLOW, every_steps=EVERY_STEPS, min_step_timeout_s=4.0) as gang:
        plan, stopped = plan_of(NUM_STEPS), []

        def stop(report: StepReport) -> None:
            if (report.segment, report.step) == (1, NUM_STEPS - 1) and not stopped:
                stopped.append(processes(gang)[1])
                stopped[0].suspend()

        take = gang.begin(plan, order=order(checkpoints_prefix=PREFIX))
        started_s = time.monotonic()
        take.sample(Notes(on_report=stop))
        assert gang.losses.deaths == 1
        assert time.monotonic() - started_s < FLUSH_S + 60.0
        assert_same_bits(store(), plan)
