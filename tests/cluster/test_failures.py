"""What dies, hangs or can't start, and what becomes of the film."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest
import ray
import torch

from actors import loan
from actors.cluster import available_resources, cluster_resources
from actors.failures import SegmentDiedError
from actors.handles import wait_for
from actors.placement import Share, release, reserve
from jobs.booking import Booking
from jobs.config import load_config
from jobs.floor import Floor
from jobs.planned_work import PlannedWork
from jobs.studio import Studio
from pipeline import reference
from pipeline.engines.registry import EngineOptions
from pipeline.errors import ClusterError, WeightsError
from pipeline.join import Joiner
from pipeline.snapshot_store import latest_cut, load_slots
from pipeline.spans import Span
from storage.open import StoreConfig, open_store
from tests.cluster.gangs import Notes, gang_of, latents_of, oracle, order, processes
from tests.manifests import SMALL
from tests.plans import small_plan
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from actors.handles import SegmentHandle
    from actors.step_report import StepReport
    from pipeline.plan import VideoPlan
    from pipeline.stores import ObjectStore

pytestmark = pytest.mark.cluster

LATENTS = "checkpoints/clip/f/"


def wait_until_free() -> None:
    """Room on the cluster comes back a moment after a gang has ended."""
    end_s = time.monotonic() + 30.0
    while available_resources().get("CPU") != cluster_resources()["CPU"]:
        assert time.monotonic() < end_s, f"still taken: {available_resources()}"
        time.sleep(0.05)


def wait_until_dead(handle: SegmentHandle) -> None:
    """Dead for good, as Ray has it."""
    end_s = time.monotonic() + 30.0
    while (state := ray._private.state.actors(handle._actor._actor_id.hex())["State"]) != "DEAD":
        assert time.monotonic() < end_s, state
        time.sleep(0.05)


def stored_latents(store: ObjectStore, plan: VideoPlan) -> Tensor:
    cut = latest_cut(store, LATENTS, plan)
    assert cut is not None
    assert cut.is_last
    slots, _ = load_slots(store, cut, Span(0, plan.boundary.num_slots), Span(0, 0))
    return Joiner(plan.boundary).push(slots)


@pytest.mark.faults
@pytest.mark.longest
def test_an_actor_killed_in_mid_video_costs_an_actor_and_not_a_bit(
    ray_cluster: None, tmp_path: Path
) -> None:
    folder = str(tmp_path / "store")
    plan = small_plan(oracle(), 402, shared_dc=0.3)
    config = load_config(overrides=list(SMALL))
    seen: list[psutil.Process] = []

    with Studio(config, StoreConfig(uri=folder), "test") as studio:

        def kill_one(report: StepReport) -> None:
            if not seen and report.step == 3:
                seen.extend(processes(studio.gang()))
                seen[1].kill()

        notes = Notes(on_report=kill_one)
        sent = order("videos/clip/f.mp4", checkpoints_prefix=LATENTS)
        floor = Floor(studio.gather, [].append)
        task = PlannedWork(None, time.time, time.monotonic).task(plan)
        delivered = Booking(studio, floor, task).render(plan, sent, notes)
    assert notes.num_segments == [2]
    assert delivered.info.num_frames == 402
    assert torch.equal(stored_latents(open_store(folder), plan), reference.sample(plan, oracle()))
    psutil.wait_procs(seen, timeout=20)
    assert not [process for process in seen if process.is_running()]


def test_ray_never_starts_a_dead_actor_again(ray_cluster: None, tmp_path: Path) -> None:
    with gang_of(1, StoreConfig(uri=str(tmp_path))) as gang:
        take = gang.begin(small_plan(oracle(), 402))
        (process,) = processes(gang)
        process.suspend()
        refs = [take.handles[0].step(f"step {k}", take.epoch, k, None, None) for k in range(3)]
        process.kill()
        for step in refs:
            with pytest.raises(SegmentDiedError):
                wait_for([step.report], timeout_s=60.0, doing="a step of a dead actor")
        with pytest.raises(SegmentDiedError):
            wait_for([take.handles[0].identity()], timeout_s=60.0, doing="asking a dead actor")
        # One that is being started again does not answer either, for a moment.
        wait_until_dead(take.handles[0])
    wait_until_free()


@pytest.mark.faults
@pytest.mark.longest
def test_an_actor_that_hangs_is_as_good_as_dead(ray_cluster: None, tmp_path: Path) -> None:
    options = {"step_timeout_s": 30.0, "min_step_timeout_s": 1.0}
    plan = small_plan(oracle(), 402, num_steps=20)
    with gang_of(2, StoreConfig(uri=str(tmp_path)), **options) as gang:
        workers = processes(gang)
        take = gang.begin(plan)

        still_to_freeze = [workers[0]]

        def freeze(report: StepReport) -> None:
            # Both segments report step 5, and one of them once more when it replays.
            if report.step == 5 and still_to_freeze:
                still_to_freeze.pop().suspend()

        take.sample(Notes(on_report=freeze))
        assert gang.losses.deaths == 1
        assert gang.losses.replayed_steps in {5, 6, 7, 8, 9}
        assert torch.equal(latents_of(take), reference.sample(plan, oracle()))
        seen = {*workers, *processes(gang)}
    gone, alive = psutil.wait_procs(seen, timeout=20)
    assert (len(gone), alive) == (3, [])
    wait_until_free()


@pytest.mark.slow
def test_weights_that_do_not_load_are_named(ray_cluster: None, tmp_path: Path) -> None:
    folder = make_tiny_wan(tmp_path / "tiny-wan")
    damaged = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    engine = EngineOptions(name="wan", weights=str(folder))
    wanted = pytest.raises(WeightsError, match=r"diffusion_pytorch_model\.safetensors")
    with wanted, gang_of(1, StoreConfig(uri=str(tmp_path)), engine):
        pass
    wait_until_free()


def test_more_room_than_the_cluster_has_is_asked_for_in_vain(
    ray_cluster: None, tmp_path: Path
) -> None:
    store = StoreConfig(uri=str(tmp_path))
    group = reserve(Share(num_actors=1, num_cpus=3.0, num_gpus=0.0), 30.0, loan.make_room)
    try:
        wanted = pytest.raises(ClusterError, match=r"no room for 2 .* within 0.5 s; free")
        with wanted, gang_of(2, store, placement_timeout_s=0.5):
            pass
    finally:
        release(group)
    wait_until_free()
