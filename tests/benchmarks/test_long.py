"""The peers of a gang on an engine whose answer is known, and what is said of outcomes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.long.peers import _ramps, context_windows, one_pass, windows_of
from benchmarks.long.plot import plot
from benchmarks.long.runs import Measurement
from benchmarks.long.seams import Joined
from benchmarks.long.tables import compute_table, main_table, seam_table
from benchmarks.long.work import CONTEXT, GANG, ONE_PASS, Outcome
from pipeline import reference
from pipeline.quality.effect import Effect
from pipeline.quality.measure import Seams
from tests.plans import small_gaussian, small_plan

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize("num_latent_frames", [1, 8, 9, 10, 13, 14, 102])
def test_context_windows_cover_a_video_and_overlap(num_latent_frames: int) -> None:
    windows = windows_of(num_latent_frames, 9)
    assert (windows[0].start, windows[-1].stop) == (0, num_latent_frames)
    assert all(len(window) == min(9, num_latent_frames) for window in windows)
    for left, right in pairwise(windows):
        assert left.stop - right.start >= 4


def test_ramps_add_up_to_one_where_windows_overlap_by_as_much() -> None:
    left, right = _ramps(9, False, True), _ramps(9, True, False)
    assert torch.equal(left[:5], torch.ones(5))
    torch.testing.assert_close(left[5:] + right[:4], torch.ones(4))


def test_a_video_of_one_window_is_the_same_for_all() -> None:
    engine = small_gaussian()
    plan = small_plan(engine, 33, events=())
    ours = reference.sample(plan, engine)
    assert torch.equal(context_windows(plan, engine)[0], ours)
    assert torch.equal(one_pass(plan, engine)[0], ours)


def test_a_longer_one_has_the_process_that_the_oracle_knows() -> None:
    """The peers are done rightly: variance near one, and windows at every step."""
    engine = small_gaussian()
    plan = small_plan(engine, 402, events=(), num_steps=20, width=128, height=64)
    latents, num_forwards = context_windows(plan, engine)
    assert num_forwards == 20 * len(windows_of(102, 9))
    whole, once = one_pass(plan, engine)
    assert once == 20
    for made in (latents, whole):
        spread = (made - made.mean(dim=(0, 2, 3), keepdim=True)).var()
        assert 0.5 < spread < 1.2


def test_one_pass_ends_with_the_table_of_positions() -> None:
    engine = small_gaussian()
    with pytest.raises(ValueError, match="1025 latent frames, the model's table of positions"):
        one_pass(small_plan(engine, 4097, events=()), engine)


def outcome(duration_s: float, seconds: float, mib: float = 100.0, windows: int = 10) -> Outcome:
    peaks = [int(mib * MIB), int(50 * MIB), int(60 * MIB)]
    frames = 1 + int(4 * duration_s)
    return Outcome(
        num_latent_frames=frames,
        num_forwards=windows,
        seconds=[seconds, 2 * seconds],
        processor_s=[2 * seconds],
        peak_bytes=peaks,
    )


def measurement(last_s: float = 62.0, last_mib: float = 140.0) -> Measurement:
    gang = {60.0: outcome(60.0, 6.0), 600.0: outcome(600.0, last_s, last_mib)}
    failed = Outcome(num_latent_frames=2401, failure="more than 300 s")
    context = {600.0: outcome(600.0, 120.0)}
    return Measurement(gang, outcome(600.0, 120.0), context, {600.0: failed})


def test_claims_are_held_against_what_was_measured() -> None:
    # 2160 latent frames more, of 40 kB for two actors: 42.2 MiB each.
    text = main_table(measurement(), 40 << 10)
    assert "grows by 42.2 MiB, the largest process by 40.0 MiB: 0.948 times as much (at" in text
    assert "does NOT" not in text
    assert "costs 1.033 times at 600 s what it costs at 60 s" in text
    assert "| more than 300 s | - |" in text
    worse = main_table(measurement(last_s=64.0, last_mib=145.0), 40 << 10)
    assert worse.count("does NOT hold") == 2
    compute = compute_table(measurement(), 600.0)
    assert "spends 1.000 times the processor time per forward" in compute
    assert "gang of two is 1.94 times as fast" in compute


def test_what_was_measured_can_be_drawn(tmp_path: Path) -> None:
    plot(measurement(), tmp_path / "long.png")
    assert (tmp_path / "long.png").read_bytes().startswith(b"\x89PNG")


def test_seams_stand_side_by_side() -> None:
    seams = Seams(frame_difference=Effect(1.25, 1.1, 1.4, 5))
    found = {name: Joined(seams, 5) for name in (GANG, CONTEXT, ONE_PASS)}
    text = seam_table(found, 60.0, 10)
    assert text.count("1.25 (1.10 .. 1.40 *)") == 3
    assert "one pass, at a gang's joins | 5" in text
