"""When a cut is due, when it is whole, and what may run ahead of it; on a real store, no Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors import cuts as cuts_module
from actors.cuts import MAX_AUTO_STEPS, CheckpointOptions, Cuts
from actors.snapshot_writer import Saved, SnapshotWriter
from pipeline.errors import ConfigError, StoreError, StoreFullError
from pipeline.snapshot_store import latest_cut
from storage.local import LocalStore
from tests.pipeline.test_snapshot import PREFIX, advance_to, samplers_of
from tests.plans import small_gaussian, small_plan

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.plan import VideoPlan


def plan_of(num_steps: int) -> VideoPlan:
    return small_plan(small_gaussian(), 301, num_steps=num_steps)


def cuts_of(
    plan: VideoPlan, store: LocalStore | None, every: object, *, keeps_last: bool = True
) -> Cuts:
    options = CheckpointOptions(every_steps=every)  # type: ignore[arg-type]
    return Cuts(plan, options, store=store, prefix=PREFIX, keeps_last=keeps_last)


def shares_of(plan: VideoPlan, store: LocalStore, step: int) -> list[Saved]:
    """What two segments store after ``step`` steps, through the writer that actors use."""
    samplers = samplers_of(plan, small_gaussian(), 2)
    advance_to(step, samplers)
    shares = []
    for sampler in samplers:
        writer = SnapshotWriter(lambda: store, PREFIX)
        writer.save(sampler)
        writer.wait()
        shares += writer.collect()
    return shares


def test_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    cuts = cuts_of(plan_of(7), LocalStore(tmp_path), 3)
    assert [step + 1 for step in range(7) if cuts.saves(step)] == [3, 6, 7]
    assert [cuts_of(plan_of(7), None, 3).saves(step) for step in range(7)] == [False] * 7
    never = cuts_of(plan_of(7), LocalStore(tmp_path), 0)
    assert [step + 1 for step in range(7) if never.saves(step)] == [7]
    nothing = cuts_of(plan_of(7), LocalStore(tmp_path), 0, keeps_last=False)
    assert not any(nothing.saves(step) for step in range(7))
    assert nothing.is_last_settled


def test_auto_follows_the_cost_and_never_lets_too_much_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(cuts_module.time, "monotonic", lambda: now_s[0])
    quick = cuts_of(plan_of(40), LocalStore(tmp_path), "auto")
    due = []
    for step in range(MAX_AUTO_STEPS):
        now_s[0] += 0.1
        due.append(quick.saves(step))
    assert due == [False] * (MAX_AUTO_STEPS - 1) + [True]
    slow = cuts_of(plan_of(40), LocalStore(tmp_path), "auto")
    due = []
    for step in range(4):
        now_s[0] += 100.0
        due.append(slow.saves(step))
    # A second to write, a failure in six hours: every 208 s; then one is under way.
    assert due == [False, False, True, False]


def test_a_cut_is_whole_when_all_shares_are_there(tmp_path: Path) -> None:
    plan, store = plan_of(6), LocalStore(tmp_path)
    cuts = cuts_of(plan, store, 2)
    assert [cuts.saves(step) for step in range(4)] == [False, True, False, True]
    assert [cuts.may_run(step) for step in range(5)] == [True] * 4 + [False]
    left, right = shares_of(plan, store, 2)
    cuts.note(left)
    cuts.note(left)
    assert (cuts.base, cuts.open_cuts) == (None, (2, 4))
    assert cuts.owes(2, right.parts[0].span.start)
    cuts.note(right)
    assert cuts.base is not None
    assert (cuts.base_step, cuts.open_cuts) == (2, (4,))
    assert latest_cut(store, PREFIX, plan) == cuts.base
    assert cuts.may_run(5)
    for share in shares_of(plan, store, 4):
        cuts.note(share)
    assert cuts.base_step == 4
    keys = set(store.list_keys(PREFIX))
    cuts.prune()
    assert {key for key in keys if "step-000002" in key}
    assert not [key for key in store.list_keys(PREFIX) if "step-000002" in key]


def test_a_cut_that_can_t_be_stored_is_given_up_but_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan, store = plan_of(4), LocalStore(tmp_path)
    cuts = cuts_of(plan, store, 2)
    assert cuts.saves(1)
    left, right = shares_of(plan, store, 2)
    cuts.note(Saved(2, (), 0.1, StoreFullError("no space left")))
    cuts.note(right)
    cuts.note(left)
    assert (cuts.base, cuts.open_cuts) == (None, ())
    assert "no snapshot at step 2: no space left" in caplog.text
    assert cuts.may_run(3)
    assert cuts.saves(3)
    with pytest.raises(StoreFullError):
        cuts.note(Saved(4, (), 0.1, StoreFullError("no space left")))


def test_what_goes_wrong_in_the_writer_is_told(tmp_path: Path) -> None:
    plan = plan_of(4)
    (sampler,) = samplers_of(plan, small_gaussian(), 1)
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    writer = SnapshotWriter(lambda: LocalStore(tmp_path), PREFIX)
    sampler.advance([])
    writer.save(sampler)
    writer.wait()
    (saved,) = writer.collect()
    assert saved.parts == ()
    assert isinstance(saved.error, StoreError)
    assert writer.collect() == ()


def test_the_copy_that_is_stored_is_of_the_moment_it_was_asked_for() -> None:
    plan = plan_of(4)
    (sampler,) = samplers_of(plan, small_gaussian(), 1)
    sampler.advance([])
    before = sampler.latents(sampler.owned)
    parts = list(sampler.parts())
    sampler.advance([])
    assert sum(len(part.latents_TCHW) for part in parts) == plan.boundary.num_slots
    at = 0
    for part in parts:
        assert (part.latents_TCHW == before[at : at + len(part.latents_TCHW)]).all()
        at += len(part.latents_TCHW)


@pytest.mark.parametrize("every", [-1, -10])
def test_a_negative_interval_is_refused(every: int) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint\.every_steps = -"):
        CheckpointOptions(every_steps=every)
