"""Videos to be disturbed, and how their latents are looked at afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from pipeline import reference
from pipeline.engines.gaussian import GaussianOptions
from pipeline.engines.registry import EngineOptions
from pipeline.join import Joiner
from pipeline.snapshot_store import latest_cut, load_slots
from pipeline.spans import Span
from tests.cluster.gangs import oracle
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pipeline.plan import VideoPlan
    from pipeline.stores import ObjectStore

PREFIX = "checkpoints/clip/f/"

# Slow enough that a signal hits a step while it is computed.
SLOW = EngineOptions(
    name="gaussian",
    gaussian=GaussianOptions(channels=4, window_latent_frames=9, window_cost_s=0.01),
)


def plan_of(num_steps: int = 6, **options: object) -> VideoPlan:
    """101 latent frames in windows of 9: room for five segments."""
    return small_plan(oracle(), 402, num_steps=num_steps, shared_dc=0.3, **options)  # type: ignore[arg-type]


def undisturbed(plan: VideoPlan) -> Tensor:
    """What one process without Ray makes of it."""
    return reference.sample(plan, oracle())


def kept_latents(store: ObjectStore, plan: VideoPlan) -> Tensor:
    """The finished latents in the store, joined as a decoder would see them."""
    cut = latest_cut(store, PREFIX, plan)
    assert cut is not None
    assert cut.is_last
    slots, _ = load_slots(store, cut, Span(0, plan.boundary.num_slots), Span(0, 0))
    return Joiner(plan.boundary).push(slots)


def assert_same_bits(store: ObjectStore, plan: VideoPlan) -> None:
    """The latents in the store are those of the undisturbed run."""
    assert torch.equal(kept_latents(store, plan), undisturbed(plan))


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Look again and again."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"no {what} within {timeout_s:g} s"
        time.sleep(0.02)
