"""The log of a job, line by line."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from jobs.progress_log import LogProgress
from tests.jobs.story import Clock, rendered, sample, tell

STAMP = "2026-01-02T03:04:05Z "


def log(clock: Clock, interval_s: float) -> tuple[LogProgress, io.StringIO]:
    stream = io.StringIO()
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return LogProgress(stream, interval_s=interval_s, clock=clock, now=lambda: moment), stream


def lines_of(stream: io.StringIO) -> list[str]:
    lines = stream.getvalue().splitlines()
    assert all(line.startswith(STAMP) for line in lines)
    return [line.removeprefix(STAMP) for line in lines]


def test_every_event_that_matters_has_its_line() -> None:
    clock = Clock()
    progress, stream = log(clock, interval_s=1000)
    tell(progress, clock)
    assert lines_of(stream) == [
        "job: 5 rows",
        "rejected a.parquet, row 3 (bad): prompt = [31m: expected words",
        "job: 1 videos are there already",
        "video fox: started, 10.0 s of 112x64, 160 frames, 20 steps",
        "video fox: sampling, 2 segments",
        "video fox: rendered, 10.0 s in 0:47, 1.2 MB, videos/fox/f.mp4; 3 of 5 rows done, "
        "job 1:32 left",
        "video storm: started, 10.0 s of 112x64, 160 frames, 20 steps",
        "video storm: sampling, 2 segments",
        "video storm: failed, after 0:07: EncodeError: it said; 4 of 5 rows done, job 0:27 left",
        "job: 1 rendered, 1 there already, 1 failed, 1 rejected, 1 left to do in 0:54",
    ]


def test_steps_are_told_now_and_then() -> None:
    clock = Clock()
    progress, stream = log(clock, interval_s=10)
    progress.job_started(1)
    sample(progress, clock, "fox", 20, 2.0)
    steps = [line for line in lines_of(stream) if " steps, " in line]
    assert steps == [
        "video fox: sampling, 10 of 40 steps, 0:30 left, job 0:38 left",
        "video fox: sampling, 20 of 40 steps, 0:20 left, job 0:28 left",
        "video fox: sampling, 30 of 40 steps, 0:10 left, job 0:18 left",
        "video fox: sampling, 40 of 40 steps, 0:00 left, job 0:08 left",
    ]


def test_many_skipped_videos_are_few_lines() -> None:
    clock = Clock()
    progress, stream = log(clock, interval_s=10)
    progress.job_started(1000)
    for _ in range(1000):
        clock.now_s += 0.03
        progress.video_skipped(rendered("old"))
    assert len(lines_of(stream)) == 3
