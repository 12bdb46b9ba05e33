"""The benchmark of the fleet: its manifest, and what it makes of times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from actors.usage import ActorUsage, Turnovers
from benchmarks.fleet.__main__ import Fleet, table
from benchmarks.fleet.manifest import DURATIONS_S, write_manifest
from benchmarks.fleet.times import Times

if TYPE_CHECKING:
    from pathlib import Path


def test_the_manifest_is_mixed_and_the_same_every_time(tmp_path: Path) -> None:
    film_s = write_manifest(tmp_path / "a.jsonl", 24)
    assert write_manifest(tmp_path / "b.jsonl", 24) == film_s
    text = (tmp_path / "a.jsonl").read_text()
    assert text == (tmp_path / "b.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["duration_s"] for row in rows} == set(DURATIONS_S)
    assert len({row["prompt"] for row in rows}) == 24
    assert sum(row["duration_s"] for row in rows) == film_s


@pytest.mark.parametrize(
    ("model_s", "turnover_s", "share", "verdicts"),
    [
        (9.5, 0.02, "95.0 %", ("as asked", "as asked")),
        (8.0, 0.3, "80.0 %", ("LESS than asked", "LONGER than asked")),
    ],
)
def test_what_the_table_says(
    model_s: float, turnover_s: float, share: str, verdicts: tuple[str, str]
) -> None:
    times = Times(begun_s=100.0)
    for number, video in enumerate("abc"):
        begun_s = 110.0 + number
        times.turn_s[video], times.sampling_s[video] = begun_s, begun_s + 0.1
        times.frame_s[video], times.finished_s[video] = begun_s + 2.0, begun_s + 3.0
        times.num_segments[video] = 1 + (video == "c")
    usage = [ActorUsage(model_s=model_s, turnovers_s=(turnover_s,))] * 2
    said = table(Fleet(times, usage, 10.0, 12.0, 11.5))
    assert "| estimated by these videos' pace | 11.5 s |" in said
    assert f"| time in the model, by actor | {share}, {share} |" in said
    assert "| videos on one actor, on all | 2, 1 |" in said
    assert "| cold: nothing runs, to the first frame | 12.0 s |" in said
    assert "| warm: to its film, median | 3.0 s |" in said
    first, _, second = said.splitlines()[-1].partition(";")
    assert verdicts[0] in first
    assert verdicts[1] in second


def test_an_actor_notes_how_long_it_sampled_nothing() -> None:
    notes = Turnovers()
    notes.began()
    assert notes.taken_s == ()
    notes.ended()
    notes.began()
    notes.began()
    assert len(notes.taken_s) == 1
    assert 0.0 <= notes.taken_s[0] < 1.0
