"""The heart of it: the finished latents do not depend on who computed them, or in what order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline import reference
from pipeline.errors import ConfigError, SegmentError
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut
from tests.plans import MODES, sample_in_segments, small_gaussian, small_plan

if TYPE_CHECKING:
    from pipeline.message import BoundaryMessage

# From one frame over one window and one window and a bit to many windows.
LENGTHS = (1, 5, 33, 34, 37, 45, 121, 402)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_any_cut_in_any_order_gives_the_bits_of_the_reference(mode: str, num_frames: int) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, num_frames, mode=mode, shared_dc=0.3 if num_frames > 100 else 0.0)
    expected = reference.sample(plan, engine)
    assert expected.shape == (plan.num_latent_frames, *plan.latent_shape)
    assert torch.isfinite(expected).all()
    for num_segments in (1, 2, 3, 5, 50):
        for order in range(2):
            got = sample_in_segments(plan, engine, num_segments, random.Random(order))
            assert torch.equal(got, expected)


@pytest.mark.parametrize("solver", ["euler", "ab2", "unipc"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_so_it_is_with_every_solver_and_with_guidance(solver: str, guidance_scale: float) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 301, solver=solver, guidance_scale=guidance_scale)
    expected = reference.sample(plan, engine)
    for num_segments in (2, 3, 5):
        got = sample_in_segments(plan, engine, num_segments, random.Random(num_segments))
        assert torch.equal(got, expected)


@pytest.mark.parametrize("mode", ["consensus", "none"])
def test_history_three_deep_travels_in_other_modes_too(mode: str) -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 301, solver="unipc", mode=mode)
    expected = reference.sample(plan, engine)
    for num_segments in (2, 3, 5):
        got = sample_in_segments(plan, engine, num_segments, random.Random(num_segments))
        assert torch.equal(got, expected)


def test_copies_that_are_drawn_together_are_no_place_for_a_corrector() -> None:
    with pytest.raises(ConfigError, match=r"sampler.solver = 'unipc': boundary.mode = 'decay'"):
        small_plan(small_gaussian(), 301, solver="unipc", mode="decay")


def test_modes_differ_from_each_other_but_not_where_there_is_one_window() -> None:
    engine = small_gaussian()
    long = [reference.sample(small_plan(engine, 121, mode=mode), engine) for mode in MODES]
    short = [reference.sample(small_plan(engine, 33, mode=mode), engine) for mode in MODES]
    for i in range(len(MODES)):
        for j in range(i):
            assert not torch.equal(long[i], long[j])
            assert torch.equal(short[i], short[j])


def test_a_message_for_another_step_is_refused() -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 301)
    partition = cut(plan.boundary, 2, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    left, right = (SegmentSampler(plan, partition, s, engine, embeds) for s in range(2))
    (to_right,) = left.advance([])
    (to_left,) = right.advance([])
    left.advance([to_left])
    with pytest.raises(SegmentError, match="step 2"):
        left.advance([to_left])
    with pytest.raises(SegmentError, match="segment 1"):
        right.advance([to_left])
    right.advance([to_right])


def test_a_received_payload_is_never_written_to() -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 301, mode="decay")
    partition = cut(plan.boundary, 2, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    left, right = (SegmentSampler(plan, partition, s, engine, embeds) for s in range(2))
    (to_right,) = left.advance([])
    before = to_right.copied()
    for array in to_right.arrays:
        array.flags.writeable = False
    right.advance([])
    right.advance([to_right])
    for array, copy in zip(to_right.arrays, before.arrays, strict=True):
        assert (array == copy).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_segments", [2, 3, 5])
def test_what_is_given_early_is_what_the_whole_step_gives(mode: str, num_segments: int) -> None:
    """And the middle of a long segment is computed after it was given."""
    engine = small_gaussian()
    plan = small_plan(engine, 402, mode=mode)
    partition = cut(plan.boundary, num_segments, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    early, whole = (
        [SegmentSampler(plan, partition, s, engine, embeds) for s in range(num_segments)]
        for _ in range(2)
    )
    mail: list[list[BoundaryMessage]] = [[] for _ in range(num_segments)]
    for step in range(plan.num_steps):
        given = [s.begin_step(mail[s.segment]) for s in early]
        held = [[message.copied() for message in messages] for messages in given]
        for sampler in early:
            assert sampler.step == step
            sampler.finish_step()
        expected = [s.advance(mail[s.segment]) for s in whole]
        assert [_bytes_of(m) for m in held] == [_bytes_of(m) for m in expected]
        # Still good when the step is finished: Ray may take its time to copy it.
        assert [_bytes_of(m) for m in given] == [_bytes_of(m) for m in held]
        flat = [message for messages in held for message in messages]
        mail = [[m for m in flat if m.receiver == s] for s in range(num_segments)]
    for one, other in zip(early, whole, strict=True):
        assert torch.equal(one.latents(one.owned), other.latents(other.owned))


def _bytes_of(messages: list[BoundaryMessage]) -> list[bytes]:
    return [array.tobytes() for message in messages for array in message.arrays]


def test_a_step_is_begun_once_and_finished_once() -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 301)
    partition = cut(plan.boundary, 2, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    sampler = SegmentSampler(plan, partition, 0, engine, embeds)
    with pytest.raises(SegmentError, match="segment 0, step 0: got a step to finish, but it was"):
        sampler.finish_step()
    sampler.begin_step([])
    with pytest.raises(SegmentError, match="segment 0, step 0: got a step to begin, but this one"):
        sampler.begin_step([])
    sampler.finish_step()
    assert sampler.step == 1
