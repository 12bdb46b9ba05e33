"""Two videos on the same actor: one is delivered while the next is sampled."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from actors.pause import never
from jobs.booking import Booking
from jobs.config import load_config
from jobs.floor import Floor
from jobs.planned_work import PlannedWork
from jobs.studio import Studio
from pipeline import reference
from pipeline.join import Joiner
from pipeline.snapshot_store import latest_cut, load_slots
from pipeline.spans import Span
from storage.open import StoreConfig, open_store
from tests.cluster.gangs import Notes, oracle, order, processes
from tests.manifests import SMALL
from tests.plans import small_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from actors.step_report import StepReport
    from pipeline.delivery import Delivered
    from pipeline.plan import VideoPlan

pytestmark = pytest.mark.cluster

PATIENCE_S = 120.0
NUM_FRAMES = 402


class Stage:
    """A studio with one actor, and videos on their way through it."""

    def __init__(self, studio: Studio, folder: str) -> None:
        self.studio, self.store = studio, open_store(folder)
        self.floor = Floor(studio.gather, [].append)
        self.work = PlannedWork(None, time.time, time.monotonic)

    def render(self, plan: VideoPlan, notes: Notes) -> Delivered:
        video = plan.request.id
        task = self.work.task(plan)
        sent = order(f"videos/{video}/f.mp4", checkpoints_prefix=f"checkpoints/{video}/f/")
        booking = Booking(self.studio, self.floor, task)
        try:
            return booking.render(plan, sent, notes)
        finally:
            booking.leave()

    def latents(self, plan: VideoPlan) -> Tensor:
        cut = latest_cut(self.store, f"checkpoints/{plan.request.id}/f/", plan)
        assert cut is not None
        assert cut.is_last
        slots, _ = load_slots(self.store, cut, Span(0, plan.boundary.num_slots), Span(0, 0))
        return Joiner(plan.boundary).push(slots)


@pytest.fixture
def stage(ray_cluster: None, tmp_path: Path) -> Iterator[Stage]:
    settings = (*SMALL, "gang.actors=1", "engine.gaussian.window_cost_s=0.02")
    config, folder = load_config(overrides=list(settings)), str(tmp_path / "store")
    with Studio(config, StoreConfig(uri=folder), "test", never) as studio:
        yield Stage(studio, folder)


def plans() -> tuple[VideoPlan, VideoPlan]:
    plan = small_plan(oracle(), NUM_FRAMES, num_steps=8)
    first, second = (
        replace(plan, request=replace(plan.request, id=name, seed=seed))
        for name, seed in (("first", 1), ("second", 2))
    )
    return first, second


def once(condition: Callable[[], bool]) -> Callable[[int], None]:
    """What waits, whenever frames are encoded, until a condition holds."""

    def wait(num_frames: int) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, f"waited too long after {num_frames} frames"
            time.sleep(0.002)

    return wait


@pytest.mark.slow
def test_a_film_is_delivered_while_the_next_is_sampled_and_neither_loses_a_bit(
    stage: Stage,
) -> None:
    first, second = plans()
    notes = Notes(), Notes()
    # The first delivery stands still until the second film is being sampled.
    notes[0].on_encoded = once(lambda: len(notes[1].steps) >= 2)
    with ThreadPoolExecutor() as pool:
        films = list(pool.map(stage.render, (first, second), notes, timeout=PATIENCE_S))
    for plan, film, noted in zip((first, second), films, notes, strict=True):
        assert film.info.num_frames == NUM_FRAMES
        assert noted.num_segments == [1]
        assert [step for _, step in noted.steps] == list(range(8))
        assert torch.equal(stage.latents(plan), reference.sample(plan, oracle()))


@pytest.mark.faults
def test_a_death_in_company_costs_the_next_film_its_replay_and_the_first_its_company(
    stage: Stage,
) -> None:
    first, second = plans()
    notes, seen = (Notes(), Notes()), list[psutil.Process]()
    notes[0].on_encoded = once(lambda: bool(seen))

    def kill(report: StepReport) -> None:
        if report.step == 2 and not seen and notes[0].steps:
            seen.extend(processes(stage.studio.gang()))
            seen[0].kill()

    notes[1].on_report = kill
    with ThreadPoolExecutor() as pool:
        films = list(pool.map(stage.render, (first, second), notes, timeout=PATIENCE_S))
    assert [film.info.num_frames for film in films] == [NUM_FRAMES, NUM_FRAMES]
    assert notes[0].first_steps == [0, 8], "the first goes on from its finished latents"
    assert [step for _, step in notes[0].steps] == list(range(8))
    assert notes[1].first_steps == [0], "the second goes on within its take"
    for plan in (first, second):
        assert torch.equal(stage.latents(plan), reference.sample(plan, oracle()))
    psutil.wait_procs(seen, timeout=20)
    assert not [process for process in seen if process.is_running()]
