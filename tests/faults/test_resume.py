"""A driver that is gone: the next run goes on from the last whole snapshot, with any actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.snapshot_store import latest_cut
from storage.open import StoreConfig
from tests.cluster.gangs import Notes, gang_of, order, processes
from tests.faults.renders import PREFIX, SLOW, assert_same_bits, plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from actors.step_report import StepReport

pytestmark = pytest.mark.cluster


class DriverGoneError(Exception):
    """Stands for whatever ends a driver in mid-video."""


@pytest.mark.faults
def test_the_next_run_goes_on_from_the_last_whole_snapshot(
    ray_cluster: None, tmp_path: Path
) -> None:
    store, plan = StoreConfig(uri=str(tmp_path)), plan_of(8)
    sent = order(checkpoints_prefix=PREFIX)

    def leave(report: StepReport) -> None:
        found = latest_cut(store(), PREFIX, plan)
        if found is not None and found.step >= 4:
            raise DriverGoneError

    with gang_of(3, store, every_steps=2) as gang, pytest.raises(DriverGoneError):
        gang.render(plan, sent, Notes(on_report=leave))
    with gang_of(2, store, every_steps=2) as gang:
        notes = Notes()
        delivered = gang.render(plan, sent, notes)
        (first_step,) = notes.first_steps
        assert first_step >= 4
        assert sorted(notes.steps) == [(s, k) for s in range(2) for k in range(first_step, 8)]
        assert delivered.info.num_frames == 402
        assert_same_bits(store(), plan)

        # Finished latents are whole: nothing is sampled, whoever decodes them.
        again = Notes()
        gang.render(plan, order("videos/clip/again.mp4", checkpoints_prefix=PREFIX), again)
        assert (again.first_steps, again.steps) == ([8], [])
        film, second = (store().get_bytes(f"videos/clip/{n}.mp4") for n in ("f", "again"))
        assert film == second

        # A snapshot that turns out to be damaged costs a warning and the steps that it held.
        cut = latest_cut(store(), PREFIX, plan)
        assert cut is not None
        key = cut.parts[0].key
        store().put_bytes(key, store().get_bytes(key)[:-1] + b"\x00\x01", overwrite=True)
        anew = Notes()
        gang.render(plan, sent, anew)
        assert anew.first_steps == [8, 0]
        assert_same_bits(store(), plan)


@pytest.mark.faults
@pytest.mark.longest
def test_a_snapshot_that_is_damaged_before_a_replacement_reads_it(
    ray_cluster: None, tmp_path: Path
) -> None:
    """Made in the same take that it fails: the video begins again without it."""
    store, plan = StoreConfig(uri=str(tmp_path)), plan_of(8)
    with gang_of(3, store, SLOW, every_steps=2, min_step_timeout_s=10.0) as gang:
        victim, damaged = processes(gang)[1], []

        def damage(report: StepReport) -> None:
            found = latest_cut(store(), PREFIX, plan)
            if found is None or damaged or report.segment != 1:
                return
            damaged.append(found.step)
            for part in found.parts:
                store().put_bytes(part.key, b"nothing of the kind", overwrite=True)
            victim.kill()

        notes = Notes(on_report=damage)
        gang.render(plan, order(checkpoints_prefix=PREFIX), notes)
        assert damaged
        assert len(notes.first_steps) == 2
        assert notes.first_steps[1] not in damaged
        assert_same_bits(store(), plan)
