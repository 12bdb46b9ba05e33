"""How far a job has come."""

from __future__ import annotations

import pytest

from jobs.progress_count import SAMPLING_SHARE, JobCount
from jobs.progress_text import printable, size_text
from tests.jobs.story import plan


def test_a_video_goes_through_its_phases() -> None:
    count = JobCount(num_rows=4)
    video = count.video_started(plan("fox"), 0)
    assert (video.phase, video.share_done) == ("loading", 0)
    count.sampling_started("fox", 3, 5)
    assert (video.phase, video.done, video.total) == ("sampling", 0, 60)
    for now_s in range(6, 36):
        count.step_done("fox", now_s)
    assert (video.done, video.share_done) == (30, SAMPLING_SHARE / 2)
    assert video.pace.remaining_s(35) == 30
    count.frames_done("fox", 80, 70)
    assert (video.phase, video.done, video.total) == ("decoding", 80, 160)
    count.frames_done("fox", 160, 80)
    assert (video.phase, video.total, video.share_done) == ("uploading", 0, 1)
    count.video_finished("fox", failed=False, now_s=90)
    assert (count.rows_done, count.videos) == (1, {})


def test_a_second_attempt_begins_anew() -> None:
    count = JobCount(num_rows=1)
    count.video_started(plan("fox"), 0)
    count.sampling_started("fox", 2, 1)
    count.step_done("fox", 2)
    video = count.sampling_started("fox", 1, 10)
    assert (video.done, video.total, video.pace.start_s) == (0, 20, 10)


def test_rows_that_cost_nothing_do_not_count_for_the_pace() -> None:
    count = JobCount(num_rows=12, skipped=5, rejected=3)
    assert count.pace.remaining_s(0) is None
    count.video_started(plan("fox"), 40)
    assert count.pace.remaining_s(100) is None
    count.sampling_started("fox", 2, 100)
    count.video_finished("fox", failed=False, now_s=160)
    assert count.pace.remaining_s(160) == 180, "loading the engine is paid once"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fog", "fog"), ("a\n2026 job: done", "a 2026 job: done"), ("\x1b[2Jgone\x07", "[2Jgone")],
)
def test_texts_of_strangers_stay_on_their_line(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (7, "7 B"),
        (1234, "1.2 kB"),
        (999_999, "1.0 MB"),
        (5_000_000_000, "5.0 GB"),
        (10**15, "1000.0 TB"),
    ],
)
def test_size_text(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
