"""Actors that die or hang while a video is sampled: only they are replaced, and no bit changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import ray
import torch

from actors.failures import SegmentDiedError
from actors.handles import wait_for
from actors.segment import CONCURRENCY_GROUPS, Assignment, SegmentActor
from actors.transport import ObjectStore
from pipeline.errors import NotFiniteError, SegmentError
from storage.open import StoreConfig
from tests.cluster.gangs import (
    GAUSSIAN,
    PATIENCE_S,
    Notes,
    gang_of,
    latents_of,
    oracle,
    order,
    processes,
)
from tests.faults.object_store import left_as_it_was
from tests.faults.renders import PREFIX, SLOW, assert_same_bits, plan_of, undisturbed
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.gang import Gang
    from actors.step_report import StepReport

pytestmark = pytest.mark.cluster

EVERY_STEPS = 2
NUM_STEPS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreConfig:
    return StoreConfig(uri=str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def gang(ray_cluster: None, store: StoreConfig) -> Iterator[Gang]:
    with gang_of(3, store, SLOW, every_steps=EVERY_STEPS) as gang:
        yield gang


@pytest.fixture(autouse=True)
def object_store(gang: Gang) -> Iterator[None]:
    """Nothing stays in shared memory, whoever was killed; every test has a whole gang."""
    gang.losses = gang._no_losses()
    gang._crew.heal(PATIENCE_S)
    yield from left_as_it_was()


class Killer:
    """Kills the processes of some segments once, after a certain segment's certain step."""

    def __init__(self, gang: Gang, victims: tuple[int, ...], after: tuple[int, int]) -> None:
        self._processes, self._victims, self._after = processes(gang), victims, after
        self.killed: list[psutil.Process] = []

    def __call__(self, report: StepReport) -> None:
        if not self.killed and (report.segment, report.step) == self._after:
            self.killed = [self._processes[victim] for victim in self._victims]
            for process in self.killed:
                process.kill()

    @property
    def spared(self) -> list[psutil.Process]:
        return [process for process in self._processes if process not in self.killed]


def sample_while(gang: Gang, killer: Killer, store: StoreConfig) -> None:
    """Sample with snapshots and compare with the undisturbed run, in memory and in the store."""
    plan, object_store = plan_of(NUM_STEPS), store()
    for key in list(object_store.list_keys("")):
        object_store.delete(key)
    gang.losses = type(gang.losses)(3, 3)
    take = gang.begin(plan, order=order(checkpoints_prefix=PREFIX))
    notes = Notes(on_report=killer)
    take.sample(notes)
    assert killer.killed
    assert gang.losses.deaths == len(killer.killed)
    # Whoever survived computed nothing twice, and progress is told once per step and segment.
    assert sorted(notes.steps) == [(s, k) for s in range(3) for k in range(NUM_STEPS)]
    assert set(killer.spared) < set(processes(gang))
    assert gang.losses.replayed_steps <= 2 * EVERY_STEPS * len(killer.killed)
    assert torch.equal(latents_of(take), undisturbed(plan))
    assert_same_bits(object_store, plan)


@pytest.mark.parametrize(
    "step", [0, *(pytest.param(step, marks=pytest.mark.faults) for step in range(1, NUM_STEPS))]
)
def test_an_actor_killed_at_any_step_costs_its_own_steps_and_not_a_bit(
    gang: Gang, store: StoreConfig, step: int
) -> None:
    victim = step % 3
    sample_while(gang, Killer(gang, (victim,), (victim, step)), store)


@pytest.mark.parametrize(
    "victims", [(0, 1), pytest.param((0, 1, 2), marks=pytest.mark.faults)], ids=str
)
def test_neighbours_killed_at_once_replay_from_what_both_had_given(
    gang: Gang, store: StoreConfig, victims: tuple[int, ...]
) -> None:
    sample_while(gang, Killer(gang, victims, (0, 2)), store)


@pytest.mark.faults
@pytest.mark.longest
@pytest.mark.parametrize("step", range(NUM_STEPS))
@pytest.mark.parametrize("victim", range(3))
def test_so_it_is_for_every_segment(gang: Gang, store: StoreConfig, victim: int, step: int) -> None:
    # After its own step: one that has given all that was asked of it is missed by nobody.
    sample_while(gang, Killer(gang, (victim,), (victim, step)), store)


def test_latents_that_are_not_finite_fail_the_video_and_cost_no_actor(gang: Gang) -> None:
    before = processes(gang)
    plan = plan_of(NUM_STEPS, guidance_scale=1e39)
    with pytest.raises(NotFiniteError, match=r"video 'clip', segment \d, step \d: the model gave"):
        gang.render(plan, order(), Notes())
    assert processes(gang) == before
    take = gang.begin(plan_of())
    take.sample(Notes())
    assert torch.equal(latents_of(take), undisturbed(plan_of()))


@pytest.mark.faults
def test_a_video_that_kills_actors_again_and_again_fails_and_its_neighbours_stay_warm(
    gang: Gang, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = processes(gang)
    located = gang._crew.located

    def kill_at_birth(handle: object, node: str, pid: int) -> None:
        located(handle, node, pid)  # type: ignore[arg-type]
        psutil.Process(pid).kill()

    with monkeypatch.context() as patch:
        patch.setattr(gang._crew, "located", kill_at_birth)
        killer = Killer(gang, (1,), (1, 2))
        with pytest.raises(SegmentDiedError, match="segment 1, step 0: 3 processes died"):
            gang.render(plan_of(), order(), Notes(on_report=killer))
    assert gang.losses.deaths == 4
    after = processes(gang)
    assert (after[0], after[2]) == (before[0], before[2])
    take = gang.begin(plan_of())
    take.sample(Notes())
    assert torch.equal(latents_of(take), undisturbed(plan_of()))


def test_a_boundary_outlives_the_process_that_made_it(gang: Gang) -> None:
    # Large pictures, so that it lies in shared memory and not in the answer itself.
    plan = small_plan(oracle(), 402, width=512, height=288)
    take = gang.begin(plan, max_segments=2)
    refs = take.handles[1].step("step 0", take.epoch, 0, None, None)
    report = wait_for([refs.report], timeout_s=PATIENCE_S, doing="test")[0]
    assert report.sent_bytes > 200_000
    processes(gang)[1].kill()
    with pytest.raises(SegmentDiedError):
        wait_for([take.handles[1].ping(take.epoch)], timeout_s=PATIENCE_S, doing="test")
    # What a dead process owned stays for a moment more.
    time.sleep(3.0)
    sent = ray.get(refs.to_left, timeout=PATIENCE_S)
    assert sent is not None
    message = ObjectStore().unpack(sent)
    assert message.num_bytes == report.sent_bytes


@pytest.mark.faults
def test_an_actor_that_ray_restarted_empty_is_refused(ray_cluster: None, tmp_path: Path) -> None:
    """The options that lose state in silence, to show that the epoch is what guards against it."""
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    store = StoreConfig(uri=str(tmp_path))
    remote: Any = ray.remote
    remote_class = remote(concurrency_groups=CONCURRENCY_GROUPS)(SegmentActor)
    actor = remote_class.options(**options).remote(GAUSSIAN, 1, store)
    plan = plan_of()
    encode = actor.encode_prompts.options(num_returns=len(plan.prompts))
    told = None, *encode.remote(plan.prompts)
    assignment = Assignment(epoch=1, segment=0)
    ray.get(actor.begin.remote(assignment, plan, gang_partition(plan), *told))
    _, pid = ray.get(actor.identity.remote(), timeout=PATIENCE_S)
    ray.get(actor.step.remote(1, 0, None, None)[2], timeout=PATIENCE_S)
    ray.get(actor.finish.remote(1, 0, False), timeout=PATIENCE_S)
    process = psutil.Process(pid)
    process.suspend()
    pending = actor.step.remote(1, 1, None, None)
    process.kill()
    with pytest.raises(SegmentError, match="call for epoch 1, but this actor is at epoch none"):
        ray.get(pending[2], timeout=PATIENCE_S)
    ray.kill(actor)


def gang_partition(plan: object) -> object:
    from pipeline.segments import cut

    return cut(plan.boundary, 1, plan.num_steps)  # type: ignore[attr-defined]


def test_what_is_kept_for_replays_is_bounded_by_the_cuts(gang: Gang) -> None:
    plan = plan_of(32)
    sent: list[StepReport] = []
    take = gang.begin(plan, order=order(checkpoints_prefix=PREFIX))
    take.sample(Notes(on_report=sent.append))
    # Of two segments with neighbours on one side and one with both.
    borders = take.partition.num_segments - 1
    boundary_bytes = max(report.sent_bytes for report in sent if report.segment in {0, 2})
    bound_bytes = 2 * EVERY_STEPS * borders * 2 * boundary_bytes
    assert 0 < take.retained.max_bytes <= bound_bytes
    assert bound_bytes < 0.5 * sum(report.sent_bytes for report in sent)
    assert take.retained.num_bytes == 0
