"""A real gang: its bits are those of one process without Ray; it obeys only what is meant for it.

All on one gang of five actors, whose start costs more than all the tests together.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import ray
import torch

from actors.handles import SegmentHandle, wait_for
from actors.streaming import PUSHES_AHEAD
from pipeline import reference
from pipeline.errors import SegmentError
from pipeline.spans import Span
from storage.open import StoreConfig
from tests.cluster.gangs import PATIENCE_S, Notes, gang_of, latents_of, oracle, order, processes
from tests.plans import MODES, small_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from ray import ObjectRef
    from torch import Tensor

    from actors.gang import Gang
    from actors.step_report import StepReport
    from actors.take import Watcher
    from pipeline.message import BoundaryMessage
    from pipeline.plan import VideoPlan

pytestmark = pytest.mark.cluster

# 101 latent frames in windows of 9: some twenty cores, enough for five segments in every mode.
LONG = 402


@pytest.fixture(scope="module")
def gang(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gang]:
    store = StoreConfig(uri=str(tmp_path_factory.mktemp("store")))
    with gang_of(5, store) as gang:
        yield gang


def sampled(
    gang: Gang, plan: VideoPlan, max_segments: int | None = None, watcher: Watcher | None = None
) -> Tensor:
    take = gang.begin(plan, max_segments=max_segments)
    take.sample(watcher or Notes())
    return latents_of(take)


@pytest.mark.parametrize("mode", MODES)
def test_1_2_3_and_5_segments_give_the_bits_of_the_reference(gang: Gang, mode: str) -> None:
    plan = small_plan(oracle(), LONG, mode=mode)
    expected = reference.sample(plan, oracle())
    for num_segments in (1, 2, 3, 5):
        take = gang.begin(plan, max_segments=num_segments)
        take.sample(Notes())
        assert take.partition.num_segments == num_segments
        assert torch.equal(latents_of(take), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"shared_dc": 0.4},
        {"guidance_scale": 3.0},
        {"solver": "euler"},
        {"mode": "consensus", "shared_dc": 0.4, "guidance_scale": 3.0, "solver": "euler"},
    ],
    ids=",".join,
)
def test_so_it_is_with_shared_noise_guidance_and_either_solver(
    gang: Gang, options: dict[str, object]
) -> None:
    plan = small_plan(oracle(), LONG, **options)  # type: ignore[arg-type]
    expected = reference.sample(plan, oracle())
    for num_segments in (2, 5):
        assert torch.equal(sampled(gang, plan, num_segments), expected)


@pytest.mark.parametrize("num_frames", [1, 5, 33, 34, 37, 45, 65])
def test_more_actors_than_windows_is_no_trouble(gang: Gang, num_frames: int) -> None:
    plan = small_plan(oracle(), num_frames)
    take = gang.begin(plan)
    take.sample(Notes())
    assert take.partition.num_segments < len(gang)
    assert torch.equal(latents_of(take), reference.sample(plan, oracle()))


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


class Hold:
    """Freezes one process after another, each for a moment, as told by a random generator."""

    def __init__(self, workers: list[psutil.Process], rng: random.Random) -> None:
        self._workers, self._rng = workers, rng
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            with frozen(self._rng.choice(self._workers)):
                self._end.wait(self._rng.uniform(0.0, 0.03))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@pytest.mark.parametrize("mode", ["halo", "decay"])
def test_whatever_order_the_actors_run_in_the_bits_are_the_same(gang: Gang, mode: str) -> None:
    plan = small_plan(oracle(), LONG, mode=mode, num_steps=8)
    expected = reference.sample(plan, oracle())
    workers = processes(gang)
    orders = set()
    for seed in range(4):
        notes = Notes()
        with Hold(workers, random.Random(seed)):
            got = sampled(gang, plan, watcher=notes)
        assert torch.equal(got, expected)
        orders.add(tuple(notes.steps))
    assert len(orders) > 1


def test_a_segment_waits_for_its_neighbours_and_for_nobody_else(gang: Gang) -> None:
    """With segment 0 frozen in step k, segment s finishes step k - 1 + s, and no more."""
    plan = small_plan(oracle(), LONG, num_steps=8)
    take = gang.begin(plan)
    newest = dict.fromkeys(range(5), -1)
    first, seen = processes(gang)[0], []

    def note(report: StepReport) -> None:
        newest[report.segment] = report.step
        if newest[4] == 3 and not seen:
            seen.append(dict(newest))
            first.resume()

    with frozen(first):
        take.sample(Notes(on_report=note))
    assert all(step <= segment - 1 for segment, step in seen[0].items())
    assert torch.equal(latents_of(take), reference.sample(plan, oracle()))


def test_warm_actors_render_one_video_after_another(gang: Gang) -> None:
    for num_frames in (LONG, 45, 301):
        plan = small_plan(oracle(), num_frames, shared_dc=0.2)
        assert torch.equal(sampled(gang, plan), reference.sample(plan, oracle()))


def test_a_video_begins_anew_after_one_that_was_left_half_done(gang: Gang) -> None:
    left = gang.begin(small_plan(oracle(), LONG))
    left.handles[0].step("left", left.epoch, 0, None, None)
    plan = small_plan(oracle(), 301)
    assert torch.equal(sampled(gang, plan), reference.sample(plan, oracle()))


def test_boundaries_arrive_as_read_only_memory_and_are_never_written_to(gang: Gang) -> None:
    # Copies are drawn together in place in this mode: the easiest way to write where one must not.
    # Large pictures, so that boundaries lie in shared memory and not in the answer itself.
    plan = small_plan(oracle(), LONG, mode="decay", width=1024, height=576)
    take = gang.begin(plan, max_segments=2)
    left, right = take.handles
    ours = left.step("left 0", take.epoch, 0, None, None)
    theirs = right.step("right 0", take.epoch, 0, None, None)
    message = ray.get(ours.to_right)
    assert message is not None
    before = message.copied()
    assert before.num_bytes > 200_000
    assert not is_writeable(message)
    reader = ray.remote(num_cpus=0)(is_writeable)
    assert ray.get(reader.remote(ours.to_right), timeout=PATIENCE_S) is False
    ray.get(right.step("right 1", take.epoch, 1, ours.to_right, None).report)
    ray.get(left.step("left 1", take.epoch, 1, None, theirs.to_left).report)
    again = ray.get(ours.to_right)
    assert again is not None
    for array, copy in zip(again.arrays, before.arrays, strict=True):
        assert (array == copy).all()


def is_writeable(message: BoundaryMessage) -> bool:
    return any(array.flags.writeable for array in message.arrays)


def test_boundaries_are_given_before_the_step_is_done(gang: Gang) -> None:
    """Of ten windows or more the neighbour waits for two or three."""
    take = gang.begin(small_plan(oracle(), LONG), max_segments=2)
    refs = take.handles[0].step("early", take.epoch, 0, None, None)
    ready, _ = ray.wait([refs.report, refs.to_right], timeout=PATIENCE_S)
    assert ready == [refs.to_right]
    answer(refs.report)


def answer(ref: ObjectRef[Any]) -> Any:
    return wait_for([ref], timeout_s=60.0, doing="test")[0]


def test_a_call_for_another_epoch_is_refused(gang: Gang) -> None:
    take = gang.begin(small_plan(oracle(), 301))
    handle = take.handles[0]
    for epoch in (take.epoch - 1, take.epoch + 1):
        with pytest.raises(SegmentError, match=f"epoch {epoch}, but this actor is at epoch"):
            answer(handle.step("stray", epoch, 0, None, None).report)
        with pytest.raises(SegmentError, match=f"epoch {epoch}, but"):
            answer(handle.slots(epoch, Span(0, 1), "clip"))


def test_a_call_for_another_step_is_refused_and_changes_nothing(gang: Gang) -> None:
    take = gang.begin(small_plan(oracle(), 301))
    handle = take.handles[0]
    with pytest.raises(SegmentError, match="call for step 1, but step 0 is next"):
        answer(handle.step("early", take.epoch, 1, None, None).report)
    with pytest.raises(SegmentError, match="but step 0 is next"):
        answer(handle.slots(take.epoch, Span(0, 1), "clip"))
    answer(handle.step("right", take.epoch, 0, None, None).report)
    with pytest.raises(SegmentError, match="call for step 0, but step 1 is next"):
        answer(handle.step("again", take.epoch, 0, None, None).report)


def test_a_step_that_is_begun_twice_is_refused_and_goes_on(gang: Gang) -> None:
    take = gang.begin(small_plan(oracle(), 301))
    actor = take.handles[0]._actor
    with pytest.raises(SegmentError, match="got a step to finish, but it was not begun"):
        answer(actor.finish.remote(take.epoch, 0, False))
    first = actor.step.remote(take.epoch, 0, None, None)[2]
    with pytest.raises(SegmentError, match="got a step to begin, but this one is under way"):
        answer(actor.step.remote(take.epoch, 0, None, None)[2])
    answer(first)
    assert answer(actor.finish.remote(take.epoch, 0, False)).step == 0


def test_a_run_of_slots_out_of_turn_is_refused(gang: Gang) -> None:
    take = gang.begin(small_plan(oracle(), 33))
    take.sample(Notes())
    carrier = take.handles[0]
    answer(carrier.open_delivery(take.epoch, take.plan_ref, order(), "clip"))
    slots = next(take.slots())
    with pytest.raises(SegmentError, match="got run 1 of slots, expected 0"):
        answer(carrier.push(take.epoch, 1, slots, "clip"))
    answer(carrier.push(take.epoch, 0, slots, "clip"))
    with pytest.raises(SegmentError, match="got run 0 of slots, expected 1"):
        answer(carrier.push(take.epoch, 0, slots, "clip"))
    answer(carrier.abandon())


class CountingHandle(SegmentHandle):
    """A handle that notes, whenever slots are asked for, how many runs are still on their way."""

    pushes: list[ObjectRef[int]]
    under_way: list[int]

    @classmethod
    def around(cls, handle: SegmentHandle, shared: CountingHandle | None) -> CountingHandle:
        counting = cls(handle._actor, handle.seat)
        counting.pushes = shared.pushes if shared else []
        counting.under_way = shared.under_way if shared else []
        return counting

    def slots(self, epoch: int, span: Span, video: str) -> ObjectRef[NDArray[np.float32]]:
        pending = list(self.pushes)
        if pending:
            _, pending = ray.wait(pending, num_returns=len(pending), timeout=0)
        self.under_way.append(len(pending) + 1)
        return super().slots(epoch, span, video)

    def push(
        self, epoch: int, index: int, slots: ObjectRef[NDArray[np.float32]], video: str
    ) -> ObjectRef[int]:
        self.pushes.append(super().push(epoch, index, slots, video))
        return self.pushes[-1]


@pytest.mark.slow
def test_no_more_latents_are_fetched_than_the_decoder_can_take(gang: Gang) -> None:
    # Large pictures, so that decoding and encoding are what takes time.
    take = gang.begin(small_plan(oracle(), 402, width=320, height=192, num_steps=4))
    take.sample(Notes())
    first = CountingHandle.around(take.handles[0], None)
    for track in take.tracks:
        track.handle = CountingHandle.around(track.handle, first) if track.segment else first
    notes = Notes()
    take.deliver(order("videos/clip/paced.mp4"), notes)
    assert len(first.under_way) > 10
    assert max(first.under_way) == PUSHES_AHEAD
    assert notes.frames == sorted(notes.frames)
    assert notes.frames[-1] == 402


def test_no_actor_is_ever_restarted_or_asked_twice(gang: Gang) -> None:
    for handle in gang._handles:
        described = ray._private.state.actors(handle._actor._actor_id.hex())
        assert described["State"] == "ALIVE"
        assert handle._actor._ray_max_task_retries == 0
