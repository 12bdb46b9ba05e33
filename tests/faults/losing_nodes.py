"""``python -m tests.faults.losing_nodes FOLDER SCENARIO``: a film while nodes come and go.

Each scenario asserts what it is about and ends with the bits of the undisturbed run.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from actors.failures import SegmentDiedError
from actors.nodes import draining_nodes
from benchmarks.chaos.nodes import add_node, nodes_of, remove
from pipeline.snapshot import Cut
from pipeline.snapshot_store import latest_cut, load_slots
from pipeline.spans import Span
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, order
from tests.e2e.program import program
from tests.faults.outcome import check_whole
from tests.faults.renders import PREFIX, SLOW, assert_same_bits, plan_of
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray._private.node import Node
    from ray.cluster_utils import Cluster
    from torch import Tensor

    from actors.gang import Gang
    from actors.step_report import StepReport
    from pipeline.plan import VideoPlan

NUM_STEPS = 12
EVERY_STEPS = 3
LOST_AT = 7


def large_plan() -> VideoPlan:
    """Boundaries too large to travel inside an answer: they lie on the node that made them."""
    return plan_of(NUM_STEPS, width=320, height=192)


def emptiest(gang: Gang, nodes: list[Node]) -> Node:
    """The node with the fewest actors, but some."""
    counted = Counter(gang._crew.node_of(handle) for handle in gang._handles)
    rarest = min(counted, key=lambda node: counted[node])
    return next(node for node in nodes if node.node_id == rarest)


def render(gang: Gang, store: StoreConfig, disturb: Callable[[], None], at: int = LOST_AT) -> Notes:
    """Render a film and disturb it once, when a segment has finished step ``at``."""
    done = []

    def once(report: StepReport) -> None:
        if report.step == at and not done:
            done.append(report)
            disturb()

    plan, notes = large_plan(), Notes(on_report=once)
    delivered = gang.render(plan, order(checkpoints_prefix=PREFIX), notes)
    assert done
    assert delivered.info.num_frames == 402
    assert_same_bits(store(), plan)
    return notes


def shrink(store: StoreConfig) -> None:
    """A node is lost and there is no other: fewer actors go on from the last whole cut."""
    with nodes_of(2, 1) as (cluster, nodes), gang_of(3, store, SLOW, EVERY_STEPS) as gang:
        notes = render(gang, store, lambda: remove(cluster, emptiest(gang, nodes)))
        assert notes.num_segments == [3, 2], notes.num_segments
        assert notes.first_steps[1] in {3, 6}, notes.first_steps
        assert gang.losses.returns == 1
        # Room again: the next film has three actors.
        add_node(cluster, 1)
        cluster.wait_for_nodes()
        again = Notes()
        gang._crew.refill(20.0)
        gang.render(large_plan(), order("videos/clip/again.mp4"), again)
        assert again.num_segments == [3], again.num_segments


def move(store: StoreConfig) -> None:
    """A node is lost and another has room: as many actors go on."""
    with nodes_of(2, 1, 1) as (cluster, nodes), gang_of(3, store, SLOW, EVERY_STEPS) as gang:
        notes = render(gang, store, lambda: remove(cluster, emptiest(gang, nodes)))
        assert notes.num_segments == [3, 3], notes.num_segments
        assert notes.first_steps[1] in {3, 6}, notes.first_steps


def drain(store: StoreConfig) -> None:
    """A node is going to be preempted: a cut is taken at once, though none is due."""
    with nodes_of(2, 1) as (cluster, nodes), gang_of(3, store, SLOW, 100) as gang:

        def announce() -> None:
            told(cluster, emptiest(gang, nodes))

        steps = []

        def look(report: StepReport) -> None:
            cut = latest_cut(store(), PREFIX, plan)
            if report.step == 2 and not draining_nodes():
                announce()
            if cut is not None and not steps:
                steps.append(cut.step)
                remove(cluster, emptiest(gang, nodes))

        plan = plan_of(40, width=320, height=192)
        notes = Notes(on_report=look)
        gang.render(plan, order(checkpoints_prefix=PREFIX), notes)
        assert 2 < steps[0] < 40, steps
        assert notes.first_steps == [0, steps[0]], notes.first_steps
        assert_same_bits(store(), plan)


def told(cluster: Cluster, node: Node) -> None:
    """What a cloud's preemption notice becomes."""
    ray_program = Path(sys.executable).with_name("ray")
    options = {
        "--address": cluster.address,
        "--node-id": node.node_id,
        "--reason": "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message": "preempted",
        "--deadline-remaining-seconds": "120",
    }
    words = [word for pair in options.items() for word in pair]
    subprocess.run([str(ray_program), "drain-node", *words], check=True, timeout=60)


def all_gone(store: StoreConfig) -> None:
    """Every node is lost: the gang says so, and a new one on new nodes goes on from the cut."""
    plan = large_plan()
    with nodes_of(2) as (cluster, nodes):
        with (
            gang_of(2, store, SLOW, EVERY_STEPS) as gang,
            pytest.raises(SegmentDiedError, match="no actor is left"),
        ):
            render(gang, store, lambda: remove(cluster, nodes[0]))
        add_node(cluster, 2)
        cluster.wait_for_nodes()
        with gang_of(2, store, SLOW, EVERY_STEPS) as gang:
            notes = Notes()
            gang.render(plan, order(checkpoints_prefix=PREFIX), notes)
            assert notes.first_steps[0] in {3, 6}, notes.first_steps
            assert_same_bits(store(), plan)


def with_driver(store: StoreConfig) -> None:
    """A node and the driver are lost at once; the next driver goes on from the last whole cut."""
    folder = Path(store.uri.removeprefix("file://"))
    folder.mkdir()
    rows = [row("clip", num_frames=201, num_inference_steps=NUM_STEPS, seed=3)]
    manifest = write(folder / "manifest.parquet", rows)
    settings = (
        *SMALL,
        "engine.gaussian.window_cost_s=0.05",
        "checkpoint.every_steps=3",
        "output.keep_latents=always",
        "lease.ttl_s=3",
    )
    with nodes_of(1, 1) as (cluster, nodes):
        common = ["render", str(manifest), f"--address={cluster.address}", *settings]
        calm, out = folder / "calm", folder / "out"
        with program(folder / "scratch", *common, f"--output={calm}") as run:
            assert run.wait() == 0, run.said
        with program(folder / "scratch", *common, f"--output={out}") as run:
            run.wait_until(lambda: any(out.glob("checkpoints/clip/*/*.json")), "whole cut")
            run.process.kill()
            remove(cluster, nodes.pop())
        add_node(cluster, 1)
        cluster.wait_for_nodes()
        with program(folder / "scratch", *common, f"--output={out}") as run:
            assert run.wait() == 0, run.said
            assert "from the snapshot at step" in run.said, run.said
    assert torch.equal(kept_by(out), kept_by(calm))
    assert check_whole(StoreConfig(uri=str(out))(), folder / "films") == {"clip": 1}


def kept_by(out: Path) -> Tensor:
    """Finished latents as they lie in a store, whatever plan they are of."""
    store = StoreConfig(uri=str(out))()
    (key,) = [k for k in store.list_keys("checkpoints/clip/") if k.endswith(".json")]
    cut = Cut.from_bytes(store.get_bytes(key), key)
    assert cut.is_last
    return load_slots(store, cut, Span(0, cut.num_slots), Span(0, 0))[0]


SCENARIOS = {
    "shrink": shrink,
    "move": move,
    "drain": drain,
    "all_gone": all_gone,
    "with_driver": with_driver,
}

if __name__ == "__main__":
    torch.set_num_threads(1)  # as the actors do: sums over threads differ in their last bits
    SCENARIOS[sys.argv[2]](StoreConfig(uri=sys.argv[1]))
    print("as promised")
