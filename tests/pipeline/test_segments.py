"""Ownership and exchange: everything owned once, everything needed is near, both sides agree."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.boundary import Boundary, BoundaryOptions
from pipeline.errors import ConfigError
from pipeline.layout import lay_out
from pipeline.segments import Partition, cut, max_segments
from pipeline.spans import Span
from tests.plans import MODES

NUM_STEPS = 12


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    halo = draw(st.integers(1, 4))
    window = draw(st.integers(3 * halo + 1, 26))
    overlap = draw(st.integers(1, max(1, window // 2)))
    boundary = lay_out(
        BoundaryOptions(
            mode=draw(st.sampled_from(MODES)),
            halo_latent_frames=halo,
            shift=draw(st.booleans()),
            overlap_frames=overlap,
        ),
        num_latent_frames=draw(st.one_of(st.integers(1, 120), st.integers(1, 4000))),
        window_latent_frames=window,
        temporal_compression=1,
        num_steps=NUM_STEPS,
    )
    return cut(boundary, draw(st.integers(1, 40)), NUM_STEPS)


@given(partitions())
def test_every_slot_is_owned_exactly_once_at_every_step(partition: Partition) -> None:
    for step in range(NUM_STEPS):
        owned = [partition.owned(step, s) for s in range(partition.num_segments)]
        assert owned[0].start == 0
        assert owned[-1].stop == partition.boundary.num_slots
        assert all(owned)
        assert all(a.stop == b.start for a, b in itertools.pairwise(owned))


@given(partitions())
def test_segments_are_runs_of_whole_cores(partition: Partition) -> None:
    for step in range(NUM_STEPS):
        everything = Span(0, partition.boundary.num_slots)
        borders = {w.core.start for w in partition.boundary.windows(step, everything)}
        for segment in range(1, partition.num_segments):
            assert partition.owned(step, segment).start in borders


@given(partitions())
def test_an_exchange_never_reaches_past_the_neighbour(partition: Partition) -> None:
    """What a step reads is owned, after the step before, by the segment or a direct neighbour."""
    for step in range(1, NUM_STEPS):
        for segment in range(partition.num_segments):
            reads = partition.reads(step, segment)
            near = range(max(0, segment - 1), min(segment + 2, partition.num_segments))
            before = [partition.owned(step - 1, other) for other in near]
            assert reads in Span(before[0].start, before[-1].stop)
            assert partition.owned(step, segment) in Span(before[0].start, before[-1].stop)


@given(partitions())
def test_neighbours_send_exactly_what_is_asked_for(partition: Partition) -> None:
    for step in range(1, NUM_STEPS):
        for segment in range(partition.num_segments):
            held = set(partition.owned(step - 1, segment))
            history = set(partition.owned(step - 1, segment))
            for other in (segment - 1, segment + 1):
                if 0 <= other < partition.num_segments:
                    handover = partition.handover(step, other, segment)
                    sender = set(partition.owned(step - 1, other))
                    assert set(handover.latents) <= sender
                    assert set(handover.history) <= set(handover.latents)
                    held |= set(handover.latents)
                    history |= set(handover.history)
            assert set(partition.reads(step, segment)) <= held
            assert set(partition.owned(step, segment)) <= history


@settings(max_examples=40)
@given(partitions())
def test_windows_see_only_what_is_read_and_cover_what_is_owned(partition: Partition) -> None:
    boundary = partition.boundary
    for step in range(NUM_STEPS):
        for segment in range(partition.num_segments):
            owned = partition.owned(step, segment)
            windows = boundary.windows(step, owned)
            assert all(w.span in boundary.reads(step, owned) for w in windows)
            for slot in {owned.start, (owned.start + owned.stop) // 2, owned.stop - 1}:
                shares = [
                    boundary.weights(w)[slot - w.span.start]
                    for w in windows
                    if w.span.start <= slot < w.span.stop
                ]
                assert sum(shares) > 0


@given(partitions())
def test_no_window_answers_for_its_still_position_but_the_first(partition: Partition) -> None:
    """An interior window discards at least one latent frame on the left, in every mode."""
    boundary = partition.boundary
    joints = boundary.joints()
    if len(joints) > 1:
        for joint in joints[1:]:
            assert joint.fade[0] == 0.0
        return
    for step in range(NUM_STEPS):
        for window in boundary.windows(step, Span(0, boundary.num_slots)):
            if window.span.start > 0:
                assert boundary.weights(window)[0] == 0.0


@given(partitions())
def test_couplings_touch_no_slot_twice(partition: Partition) -> None:
    boundary = partition.boundary
    for step in (0, NUM_STEPS - 1):
        slots: list[int] = []
        for coupling in boundary.couplings(step, Span(0, boundary.num_slots)):
            assert len(coupling.left) == len(coupling.right)
            assert list(boundary.latent_frames(coupling.left)) == list(
                boundary.latent_frames(coupling.right)
            )
            slots += [*coupling.left, *coupling.right]
        assert len(slots) == len(set(slots))


def _boundary(num_latent_frames: int, mode: str = "halo") -> Boundary:
    return lay_out(
        BoundaryOptions(mode=mode),  # type: ignore[arg-type]
        num_latent_frames=num_latent_frames,
        window_latent_frames=21,
        temporal_compression=4,
        num_steps=20,
    )


def test_an_hour_is_cut_evenly() -> None:
    boundary = _boundary(14_400)
    partition = cut(boundary, 8, 20)
    loads = [
        sum(len(boundary.windows(step, partition.owned(step, s))) for step in range(20))
        for s in range(8)
    ]
    assert partition.num_segments == 8
    assert max(loads) <= 1.02 * sum(loads) / 8


def test_more_segments_than_the_video_can_bear_are_fewer() -> None:
    assert cut(_boundary(21), 5, 20).num_segments == 1
    boundary = _boundary(100)
    assert cut(boundary, 500, 20).num_segments == max_segments(boundary) == 3


def test_decay_moves_copies_by_half_of_one_minus_the_square() -> None:
    boundary = _boundary(60, "decay")
    everything = Span(0, boundary.num_slots)
    for step in range(20):
        (first, *_) = boundary.couplings(step, everything)
        assert first.pull == pytest.approx((1 - (step / 20) ** 2) / 2)
        assert len(first.left) == 4  # 16 frames


@pytest.mark.parametrize(("window", "halo"), [(6, 2), (9, 3)])
def test_a_halo_as_long_as_the_core_is_refused(window: int, halo: int) -> None:
    with pytest.raises(ConfigError, match="core longer than the halo"):
        lay_out(
            BoundaryOptions(halo_latent_frames=halo),
            num_latent_frames=50,
            window_latent_frames=window,
            temporal_compression=4,
            num_steps=20,
        )


def test_an_overlap_of_more_than_half_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most half the window of 7"):
        lay_out(
            BoundaryOptions(mode="decay", overlap_frames=16),
            num_latent_frames=50,
            window_latent_frames=7,
            temporal_compression=4,
            num_steps=20,
        )
