"""What counting costs, and what an actor's log says, on a real cluster."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

import pytest
import ray

from actors.metrics import ActorMetrics
from actors.seat import Seat
from actors.step_report import StepReport
from storage.open import StoreConfig
from tests.cluster.gangs import GAUSSIAN, Notes, gang_of, oracle, order
from tests.plans import small_plan

pytestmark = pytest.mark.cluster

NUM_STEPS = 500
# Of the shortest step of any use, a tenth of a second, a hundredth of a part.
MOST_S = 1e-3


def test_counting_a_step_costs_nothing_that_can_be_measured_beside_it(ray_cluster: None) -> None:
    metrics = ActorMetrics(Seat("cost", 0), "gaussian")
    report = StepReport(
        segment=0, step=0, compute_s=0.5, num_windows=3, sent_bytes=1 << 20, save_s=0.01
    )
    costs_s = []
    for _ in range(NUM_STEPS):
        started_s = time.perf_counter()
        metrics.step(report, 0.01)
        costs_s.append(time.perf_counter() - started_s)
    print(f"median {statistics.median(costs_s) * 1e6:.0f} microseconds a step")
    assert statistics.median(costs_s) < MOST_S


def log_of(pid: int) -> str:
    """What a worker process has written to its standard error."""
    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    return "".join(path.read_text() for path in logs.glob(f"worker-*-{pid}.err"))


@pytest.mark.slow
def test_an_actor_s_log_says_whose_step_it_computed(ray_cluster: None, tmp_path: Path) -> None:
    plan = small_plan(oracle(), 101, num_steps=4)
    with gang_of(2, StoreConfig(uri=str(tmp_path)), GAUSSIAN) as gang:
        gang.render(plan, order(), Notes())
        pids = [gang._crew.pid_of(place) for place in range(2)]
    for place, pid in enumerate(pids):
        assert pid is not None
        said = log_of(pid)
        whose = rf"job=test actor-{place:03d} video={plan.request.id} segment={place} epoch=\d+"
        steps = re.findall(rf"Z INFO {whose} step=(\d)/4 took \d+\.\d{{3}} s after waiting", said)
        assert steps == ["1", "2", "3", "4"]
        assert re.search(rf"{whose} begins at step=0", said)
    assert pids[0] is not None
    assert "delivered videos/clip/f.mp4" in log_of(pids[0])
