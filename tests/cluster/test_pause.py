"""A take that is stopped on purpose, at any point, goes on to the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pipeline.errors import PausedError
from pipeline.snapshot_store import latest_cut
from storage.local import LocalStore
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, order
from tests.faults.renders import PREFIX, kept_latents, plan_of, undisturbed

if TYPE_CHECKING:
    from pathlib import Path

    from actors.step_report import StepReport

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]

NUM_STEPS = 6


@pytest.mark.parametrize("every_steps", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_pause_keeps_a_snapshot_and_the_video_goes_on_from_it(
    tmp_path: Path, every_steps: int
) -> None:
    store, plan = LocalStore(tmp_path), plan_of(NUM_STEPS)
    wanted: list[bool] = []

    def ask(report: StepReport) -> None:
        if report.step == 1:
            wanted.append(True)

    goal = order(checkpoints_prefix=PREFIX)
    factory = StoreConfig(uri=str(tmp_path))
    with gang_of(2, factory, every_steps=every_steps) as gang:
        with pytest.raises(PausedError, match="goes on from step"):
            gang.render(plan, goal, Notes(on_report=ask), lambda: bool(wanted))
        cut = latest_cut(store, PREFIX, plan)
        assert cut is not None
        # Nothing that was computed is lost: the cut is where the furthest segment stopped.
        assert 2 <= cut.step <= 5
        # Asked again while it is not to run, it begins nothing.
        with pytest.raises(PausedError):
            gang.render(plan, goal, idle := Notes(), lambda: True)
        assert idle.steps == []
        gang.render(plan, goal, notes := Notes())
        assert notes.first_steps == [cut.step]
    assert torch.equal(kept_latents(store, plan), undisturbed(plan))


@pytest.mark.slow
def test_a_pause_while_decoding_goes_on_from_the_finished_latents(tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), plan_of(NUM_STEPS)
    wanted: list[bool] = []
    goal = order(checkpoints_prefix=PREFIX)
    with gang_of(2, StoreConfig(uri=str(tmp_path)), every_steps=2) as gang:
        encoded = Notes(on_encoded=lambda _: wanted.append(True))
        with pytest.raises(PausedError, match=f"goes on from step {NUM_STEPS}"):
            gang.render(plan, goal, encoded, lambda: bool(wanted))
        assert store.head(goal.video_key) is None
        gang.render(plan, goal, notes := Notes())
    assert notes.steps == []
    assert store.head(goal.video_key) is not None
    assert torch.equal(kept_latents(store, plan), undisturbed(plan))


@pytest.mark.slow
def test_a_pause_that_is_taken_back_stops_nothing(tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), plan_of(NUM_STEPS)
    answers = iter([False, False, True, True])
    goal = order(checkpoints_prefix=PREFIX)
    with gang_of(2, StoreConfig(uri=str(tmp_path)), every_steps=0) as gang:
        gang.render(plan, goal, Notes(), lambda: next(answers, False))
    assert torch.equal(kept_latents(store, plan), undisturbed(plan))
