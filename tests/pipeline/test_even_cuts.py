"""No segment has more windows than it must, and borders stay where they are as nearly as can be."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.boundary import Boundary, BoundaryOptions
from pipeline.layout import lay_out
from pipeline.segments import Partition, cut, max_segments
from pipeline.spans import Span
from pipeline.sweep import sweep
from tests.plans import MODES

WINDOW, HALO = 9, 2
CORE = WINDOW - 2 * HALO


def laid_out(num_latent_frames: int, num_steps: int, mode: str, *, shift: bool = True) -> Boundary:
    return lay_out(
        BoundaryOptions(mode=mode, halo_latent_frames=HALO, shift=shift, overlap_frames=4),  # type: ignore[arg-type]
        num_latent_frames=num_latent_frames,
        window_latent_frames=WINDOW,
        temporal_compression=1,
        num_steps=num_steps,
    )


def loads(partition: Partition, num_steps: int) -> list[int]:
    """Windows of every segment over all steps."""
    return [
        sum(
            len(partition.boundary.windows(step, partition.owned(step, segment)))
            for step in range(num_steps)
        )
        for segment in range(partition.num_segments)
    ]


def is_still(boundary: Boundary, num_steps: int) -> bool:
    return len({boundary.border(step, 1) for step in range(num_steps)}) == 1


def rounded_alone(boundary: Boundary, count: int, num_steps: int) -> Partition:
    """Every border with one number for all steps, the mean that it should have, rounded."""
    everything, steps = Span(0, boundary.num_slots), range(num_steps)
    starts = [[w.core.start for w in boundary.windows(step, everything)] for step in steps]
    total = sum(map(len, starts)) / num_steps
    first = sum(s < boundary.border(k, 1) for k in steps for s in starts[k]) / num_steps
    numbers: list[int] = []
    for segment in range(1, count):
        lowest = numbers[-1] + boundary.min_cores if numbers else 1
        highest = boundary.num_borders - (count - 1 - segment) * boundary.min_cores
        numbers.append(min(max(round(total * segment / count - first + 1), lowest), highest))
    turns = cut(boundary, count, num_steps).turns
    return Partition(boundary, tuple(num_steps * number for number in numbers), turns)


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Boundary, int, int]:
    """A layout, how many segments of it, over how many steps."""
    num_steps = draw(st.integers(1, 24))
    boundary = laid_out(
        draw(st.integers(WINDOW + 1, 900)),
        num_steps,
        draw(st.sampled_from(MODES)),
        shift=draw(st.booleans()),
    )
    return boundary, min(draw(st.integers(1, 24)), max_segments(boundary)), num_steps


@given(wishes())
def test_the_largest_share_is_the_mean_rounded_up(wish: tuple[Boundary, int, int]) -> None:
    boundary, count, num_steps = wish
    got = loads(cut(boundary, count, num_steps), num_steps)
    assert len(got) == count
    # Where nothing moves, a share is the same at every step.
    unit = num_steps if is_still(boundary, num_steps) else 1
    largest = math.ceil(sum(got) / (count * unit)) * unit
    if count > 2:
        at_both_borders = 2 * (boundary.min_cores == 3)
        largest = max(largest, num_steps * (boundary.min_cores + at_both_borders))
    assert max(got) == largest


@given(wishes())
def test_it_is_never_above_that_of_borders_rounded_alone(wish: tuple[Boundary, int, int]) -> None:
    boundary, count, num_steps = wish
    alone = loads(rounded_alone(boundary, count, num_steps), num_steps)
    assert max(loads(cut(boundary, count, num_steps), num_steps)) <= max(alone)


def shares_at(boundary: Boundary, step: int, count: int) -> set[tuple[int, ...]]:
    """Windows of each segment at one step, for every cut into whole cores that is wide enough."""
    starts = [w.core.start for w in boundary.windows(step, Span(0, boundary.num_slots))]
    found = set()
    for numbers in itertools.combinations(range(1, len(starts)), count - 1):
        if all(b - a >= boundary.min_cores for a, b in itertools.pairwise(numbers)):
            ends = [0, *(starts[number] for number in numbers), boundary.num_slots]
            spans = itertools.starmap(Span, itertools.pairwise(ends))
            found.add(tuple(len(boundary.windows(step, span)) for span in spans))
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_latent_frames", [23, 31, 38, 46])
@pytest.mark.parametrize("shift", [True, False])
def test_no_cut_at_all_has_a_smaller_one(mode: str, num_latent_frames: int, shift: bool) -> None:
    num_steps = 3
    boundary = laid_out(num_latent_frames, num_steps, mode, shift=shift)
    for count in range(2, min(4, max_segments(boundary)) + 1):
        totals = {(0,) * count}
        by_step = [shares_at(boundary, step, count) for step in range(num_steps)]
        if is_still(boundary, num_steps):
            totals = {tuple(num_steps * share for share in shares) for shares in by_step[0]}
        else:
            for shares in by_step:
                totals = {
                    tuple(map(sum, zip(total, share, strict=True)))
                    for total in totals
                    for share in shares
                }
        best = min(map(max, totals))
        assert max(loads(cut(boundary, count, num_steps), num_steps)) == best


@settings(max_examples=50)
@given(wishes())
def test_a_border_stays_within_a_core_of_its_place(wish: tuple[Boundary, int, int]) -> None:
    boundary, count, num_steps = wish
    partition = cut(boundary, count, num_steps)
    for segment in range(1, count):
        slots = {partition.owned(step, segment).start for step in range(num_steps)}
        assert max(slots) - min(slots) <= (0 if is_still(boundary, num_steps) else CORE)


def given_first(partition: Partition, step: int, segment: int) -> int:
    """Windows that a segment computes at a step before it gives what its neighbours wait for."""
    boundary, owned = partition.boundary, partition.owned(step, segment)
    to_left, to_right = Span(owned.start, owned.start), Span(owned.stop, owned.stop)
    if segment > 0:
        to_left = partition.handover(step + 1, segment, segment - 1).latents
    if segment < partition.num_segments - 1:
        to_right = partition.handover(step + 1, segment, segment + 1).latents
    windows = boundary.windows(step, owned)
    weights = [boundary.weights(window) for window in windows]
    return len(sweep(windows, weights, owned, to_left, to_right).first)


def finished_at(partition: Partition, num_steps: int) -> int:
    """When a gang is done that takes 1 for a window and no time for anything else."""
    segments = range(partition.num_segments)
    finished, given = [0] * len(segments), [0] * len(segments)
    for step in range(num_steps):
        near = [given[max(0, segment - 1) : segment + 2] for segment in segments]
        starts = [max(finished[segment], *near[segment]) for segment in segments]
        for segment, start in enumerate(starts):
            windows = partition.boundary.windows(step, partition.owned(step, segment))
            finished[segment] = given[segment] = start + len(windows)
            if step < num_steps - 1:
                given[segment] = start + given_first(partition, step, segment)
    return max(finished)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("num_latent_frames", "count"), [(37, 3), (120, 2), (120, 4), (240, 8), (300, 29)]
)
def test_a_window_more_at_one_step_is_hardly_waited_for(
    mode: str, num_latent_frames: int, count: int
) -> None:
    """Not at all where a segment has a middle, and a gang is never later than it was."""
    num_steps = 20
    boundary = laid_out(num_latent_frames, num_steps, mode)
    even = cut(boundary, count, num_steps)
    largest = max(loads(even, num_steps))
    alone = rounded_alone(boundary, even.num_segments, num_steps)
    assert largest <= finished_at(even, num_steps) <= finished_at(alone, num_steps)
    # In consensus the windows at the ends are six.
    if largest >= (8 if mode == "consensus" else 4) * num_steps:
        assert finished_at(even, num_steps) <= largest + 1
