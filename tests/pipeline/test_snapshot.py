"""Snapshots: any partition goes on from one with the same bits; what is not whole is not there."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline import reference
from pipeline.errors import NotFiniteError, ObjectCorruptError, SnapshotMismatchError
from pipeline.join import Joiner
from pipeline.sampler import SegmentSampler
from pipeline.segments import cut as cut_into
from pipeline.snapshot import Cut, digest_of, manifest_key
from pipeline.snapshot_part import (
    SLOTS_PER_PART,
    Part,
    PartLabel,
    from_bytes,
    part_spans,
    to_bytes,
)
from pipeline.snapshot_store import latest_cut, load_slots, prune, put_cut, put_part
from pipeline.spans import Span
from storage.local import LocalStore
from tests.plans import MODES, small_gaussian, small_plan

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engines.protocol import Engine
    from pipeline.plan import VideoPlan

PREFIX = "checkpoints/clip/f/"


def samplers_of(plan: VideoPlan, engine: Engine, num_segments: int) -> list[SegmentSampler]:
    partition = cut_into(plan.boundary, num_segments, plan.num_steps)
    embeds = reference.encode_prompts(plan, engine)
    return [
        SegmentSampler(plan, partition, segment, engine, embeds)
        for segment in range(partition.num_segments)
    ]


def advance_to(step: int, samplers: list[SegmentSampler]) -> None:
    """All together, in lock step."""
    mail = []
    first = samplers[0].step
    for now in range(first, step):
        wanted = [[m for m in mail if m.receiver == s.segment] for s in samplers]
        assert all(s.step == now for s in samplers)
        mail = [
            message.copied()
            for sampler, messages in zip(samplers, wanted, strict=True)
            for message in sampler.advance(messages)
        ]


def store_cut(store: LocalStore, plan: VideoPlan, samplers: list[SegmentSampler]) -> Cut:
    cut = Cut(
        video=plan.request.id,
        plan_digest=digest_of(plan),
        step=samplers[0].step,
        num_steps=plan.num_steps,
        num_slots=plan.boundary.num_slots,
        parts=tuple(put_part(store, PREFIX, part) for s in samplers for part in s.parts()),
    )
    put_cut(store, PREFIX, cut)
    return cut


def joined(plan: VideoPlan, samplers: list[SegmentSampler]) -> torch.Tensor:
    joiner = Joiner(plan.boundary)
    return torch.cat([joiner.push(sampler.latents(sampler.owned)) for sampler in samplers])


@pytest.mark.parametrize(
    ("mode", "solver"),
    [*itertools.product(MODES, ["ab2", "euler"]), ("halo", "unipc"), ("none", "unipc")],
)
def test_any_partition_goes_on_from_a_cut_with_the_same_bits(
    tmp_path: Path, mode: str, solver: str
) -> None:
    engine, store = small_gaussian(), LocalStore(tmp_path)
    plan = small_plan(engine, 402, mode=mode, solver=solver, shared_dc=0.3)
    expected = reference.sample(plan, engine)
    for step, before, after in ((1, 3, 2), (3, 2, 5), (5, 1, 4), (6, 5, 3)):
        samplers = samplers_of(plan, engine, before)
        advance_to(step, samplers)
        made = store_cut(store, plan, samplers)
        assert made.is_last == (step == plan.num_steps)
        found = latest_cut(store, PREFIX, plan)
        assert found == made
        fresh = samplers_of(plan, engine, after)
        for sampler in fresh:
            sampler.restore(step, *load_slots(store, found, *sampler.needs(step)))
        advance_to(plan.num_steps, fresh)
        assert torch.equal(joined(plan, fresh), expected)


def test_a_manifest_is_what_makes_a_cut_and_the_newest_is_taken(tmp_path: Path) -> None:
    engine, store = small_gaussian(), LocalStore(tmp_path)
    plan = small_plan(engine, 402)
    assert latest_cut(store, PREFIX, plan) is None
    samplers = samplers_of(plan, engine, 2)
    advance_to(1, samplers)
    for part in samplers[0].parts():
        put_part(store, PREFIX, part)
    assert latest_cut(store, PREFIX, plan) is None
    first = store_cut(store, plan, samplers)
    further = samplers_of(plan, engine, 3)
    advance_to(2, further)
    second = store_cut(store, plan, further)
    assert latest_cut(store, PREFIX, plan) == second
    store.delete(manifest_key(PREFIX, 2))
    assert latest_cut(store, PREFIX, plan) == first
    put_cut(store, PREFIX, second)
    prune(store, PREFIX, first)
    assert latest_cut(store, PREFIX, plan) == second
    advance_to(3, under_way := samplers_of(plan, engine, 2))
    newer = put_part(store, PREFIX, next(under_way[0].parts())).key
    prune(store, PREFIX, second)
    kept = set(store.list_keys(PREFIX))
    assert kept == {manifest_key(PREFIX, 2), newer, *(part.key for part in second.parts)}


def test_a_cut_of_another_plan_is_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, store = small_gaussian(), LocalStore(tmp_path)
    plan = small_plan(engine, 301)
    samplers = samplers_of(plan, engine, 2)
    advance_to(1, samplers)
    cut = store_cut(store, plan, samplers)
    later = replace(plan, request=replace(plan.request, priority=7, metadata={"a": "b"}))
    assert latest_cut(store, PREFIX, later) == cut
    for other in (
        small_plan(engine, 301, solver="euler"),
        small_plan(engine, 301, guidance_scale=2.0),
        small_plan(engine, 301, num_steps=7),
        small_plan(small_gaussian(prompt_contrast=0.5), 301),
    ):
        with pytest.raises(SnapshotMismatchError, match="video 'clip': the snapshot at step 1"):
            cut.check(other)
        assert latest_cut(store, PREFIX, other) is None
    assert "can't be gone on from" in caplog.text


def test_a_damaged_cut_is_named(tmp_path: Path) -> None:
    engine, store = small_gaussian(), LocalStore(tmp_path)
    plan = small_plan(engine, 301)
    samplers = samplers_of(plan, engine, 2)
    advance_to(2, samplers)
    cut = store_cut(store, plan, samplers)
    wanted = samplers[0].needs(2)
    key = cut.parts[0].key
    whole = store.get_bytes(key)
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    for damaged in (bytes(flipped), whole[:-1]):
        store.put_bytes(key, damaged, overwrite=True)
        with pytest.raises(ObjectCorruptError, match="CRC-32"):
            load_slots(store, cut, *wanted)
    for garbage in (b"", b"{}", b'{"scheme": 1, "step": 1}', cut.to_bytes()[:-9]):
        with pytest.raises(ObjectCorruptError, match="no manifest"):
            Cut.from_bytes(garbage, "key")


def label(span: Span, step: int = 3) -> PartLabel:
    return PartLabel("clip", "digest", step, span)


def test_a_part_is_read_back_or_refused_by_name() -> None:
    latents, history = torch.randn(5, 4, 3, 2), torch.randn(5, 4, 3, 2)
    part = Part(label(Span(10, 15)), latents, history)
    read = from_bytes(to_bytes(part), label(Span(10, 15)))
    assert torch.equal(read.latents_TCHW, latents)
    assert read.history_TDHW is not None
    assert torch.equal(read.history_TDHW, history)
    with pytest.raises(SnapshotMismatchError, match="step 3, expected 4"):
        from_bytes(to_bytes(part), label(Span(10, 15), step=4))
    with pytest.raises(SnapshotMismatchError, match="stop 15, expected 16"):
        from_bytes(to_bytes(part), label(Span(10, 16)))
    with pytest.raises(ObjectCorruptError, match="got 4 slots, expected 5 slots"):
        from_bytes(to_bytes(Part(part.label, latents[:4], None)), part.label)
    with pytest.raises(ObjectCorruptError):
        from_bytes(b"nothing of the kind", part.label)


def test_parts_tile_what_is_owned_and_sort_in_its_order() -> None:
    spans = list(part_spans(Span(7, 300)))
    assert spans[0].start == 7
    assert spans[-1].stop == 300
    assert all(len(span) == SLOTS_PER_PART for span in spans[:-1])
    assert [a.stop for a in spans[:-1]] == [b.start for b in spans[1:]]
    names = [label(span).name for span in spans]
    assert sorted(names) == names


class Poisoned:
    """An engine whose third forward has a NaN in it."""

    def __init__(self, engine: Engine, value: float) -> None:
        self._engine, self._value, self._calls = engine, value, 0
        self.spec, self.encode_prompts = engine.spec, engine.encode_prompts
        self.stream_decoder = engine.stream_decoder

    def predict(self, *arguments: object) -> torch.Tensor:
        velocity_TCHW = self._engine.predict(*arguments)  # type: ignore[arg-type]
        self._calls += 1
        if self._calls == 3:
            velocity_TCHW[4, 1, 0, 0] = self._value
        return velocity_TCHW


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_named(value: float) -> None:
    engine = Poisoned(small_gaussian(), value)
    plan = small_plan(engine, 33)
    with pytest.raises(NotFiniteError, match=r"clip', segment 0, step 2: .* slot 4"):
        reference.sample(plan, engine)


def test_the_same_state_is_the_same_bytes_whoever_writes_it() -> None:
    """A part may be written a second time when its checksum is in a manifest already."""
    label = PartLabel("clip", "0" * 16, 3, Span(0, 2))
    state_TCHW = torch.arange(24.0).reshape(2, 3, 2, 2)
    written = {to_bytes(Part(label, state_TCHW, -state_TCHW)) for _ in range(30)}
    assert len(written) == 1
