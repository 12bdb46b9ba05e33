"""The order of a step's windows: what neighbours wait for is settled first, all exactly once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spans import Span
from pipeline.sweep import Sweep, sweep
from pipeline.windows import Window, shifted_grid

LENGTH, CORE, HALO = 9, 5, 2


def windows_of(num_cores: int, offset: int = 0) -> tuple[Window, ...]:
    return shifted_grid(num_cores * CORE, LENGTH, HALO, offset)


def settled(step: Sweep, indices: tuple[int, ...]) -> list[int]:
    velocity_TCHW = torch.zeros(LENGTH, 1, 1, 1)
    return [slot for index in indices for slot, _ in step.add(index, velocity_TCHW)]


@given(
    st.integers(2, 20), st.integers(0, CORE - 1), st.integers(0, 3 * CORE), st.integers(0, 3 * CORE)
)
def test_what_is_awaited_is_settled_first_and_every_slot_once(
    num_cores: int, offset: int, to_left: int, to_right: int
) -> None:
    windows = windows_of(num_cores, offset)
    owned = Span(windows[0].core.start, windows[-1].core.stop)
    left = Span(owned.start, min(owned.stop, owned.start + to_left))
    right = Span(max(owned.start, owned.stop - to_right), owned.stop)
    weights = [[float(w.core.start <= s < w.core.stop) for s in w.span] for w in windows]
    step = sweep(windows, weights, owned, left, right)
    assert sorted((*step.first, *step.rest)) == list(range(len(windows)))
    early = settled(step, step.first)
    assert set(early) >= {*left, *right}
    assert sorted(early + settled(step, step.rest)) == list(owned)
    assert not step._velocities


def test_the_ends_come_first_from_the_outside_inwards() -> None:
    windows = windows_of(9)
    weights = [[1.0] * LENGTH] * 9
    step = sweep(windows, weights, Span(0, 45), Span(0, 8), Span(37, 45))
    assert step.first == (0, 1, 8, 7)
    assert step.rest == (2, 3, 4, 5, 6)
    alone = sweep(windows, weights, Span(0, 45), Span(0, 0), Span(45, 45))
    assert alone.first == ()


@pytest.mark.parametrize("seed", range(4))
def test_an_average_does_not_depend_on_the_order_of_the_predictions(seed: int) -> None:
    windows = windows_of(6)
    generator = torch.Generator().manual_seed(seed)
    velocities = [torch.randn(LENGTH, 2, 3, 3, generator=generator) for _ in windows]
    weights = [torch.rand(LENGTH, generator=generator).tolist() for _ in windows]
    owned = Span(0, 30)
    found = []
    for order in (range(6), torch.randperm(6, generator=generator).tolist()):
        step = Sweep(windows, weights, owned, tuple(order), ())
        pairs = [pair for index in order for pair in step.add(index, velocities[index])]
        found.append(torch.stack([row for _, row in sorted(pairs, key=lambda pair: pair[0])]))
    assert torch.equal(*found)
