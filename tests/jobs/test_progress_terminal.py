"""What a person sees of a job, and where log lines go meanwhile."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from jobs.display import display
from jobs.progress_log import LogProgress
from jobs.progress_terminal import TerminalProgress
from tests.jobs.story import REJECTION, Clock, failed, rendered, sample, tell

if TYPE_CHECKING:
    import pytest


def terminal(width: int = 80) -> Console:
    """A terminal without colours that remembers what was shown."""
    return Console(
        file=io.StringIO(), force_terminal=True, color_system=None, width=width, record=True
    )


def picture(progress: TerminalProgress, width: int = 80) -> list[str]:
    """The bars as they stand now."""
    console = Console(file=io.StringIO(), width=width, record=True, color_system=None)
    console.print(progress._bars.get_renderable())
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_bars_fit_a_small_terminal() -> None:
    clock = Clock()
    with TerminalProgress(terminal(), clock) as progress:
        progress.job_started(3)
        progress.video_skipped(rendered("old"))
        sample(progress, clock, "a-fox-at-dawn-in-the-fog", 10, 2.0)
        job, video = picture(progress)
    assert " all videos " in job
    assert job.endswith(" 1/3 rows 1:15 left")
    assert "a-fox-at-dawn-in-the-\u2026 sampling " in video
    assert video.endswith(" 20/40 steps 0:20 left")
    assert job.count("\u2501") == 9
    assert video.count("\u2501") == 10


def test_decoding_and_uploading_are_shown() -> None:
    clock = Clock()
    with TerminalProgress(terminal(), clock) as progress:
        progress.job_started(1)
        sample(progress, clock, "fox", 20, 1.0)
        clock.now_s += 2
        progress.frames_done("fox", 40)
        clock.now_s += 2
        progress.frames_done("fox", 80)
        decoding = picture(progress)[1]
        progress.frames_done("fox", 160)
        uploading = picture(progress)[1]
    assert " decoding " in decoding
    assert decoding.endswith("80/160 frames 0:02 left")
    assert " uploading" in uploading
    assert not uploading.endswith("left")


def test_finished_videos_stay_and_bars_go() -> None:
    console = terminal(120)
    clock = Clock()
    with TerminalProgress(console, clock) as progress:
        tell(progress, clock)
        assert picture(progress) == []
    text = console.export_text()
    for line in (
        "rejected a.parquet, row 3 (bad): prompt = [31m: expected words",
        "rendered fox: 10.0 s in 0:47, 1.2 MB, videos/fox/f.mp4",
        "  failed storm: after 0:07: EncodeError: it said",
        "     job 1 rendered, 1 there already, 1 failed, 1 rejected, 1 left to do in 0:54",
    ):
        assert line in text


def test_ids_are_never_markup() -> None:
    console = terminal(120)
    with TerminalProgress(console, Clock()) as progress:
        progress.job_started(2)
        sample(progress, Clock(), "[red]fox[/]", 1, 1.0)
        assert "[red]fox[/]" in picture(progress)[1]
        progress.video_finished(failed("[red]fox[/]"), 1.0)
        progress.row_rejected(REJECTION)
    assert "[red]fox[/]: after" in console.export_text()


def test_a_pipe_gets_plain_lines() -> None:
    stream = io.StringIO()
    with display(Console(file=stream)) as progress:
        assert isinstance(progress, LogProgress)
        tell(progress, Clock())
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 10


def test_log_lines_stand_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    console = terminal()
    with display(console) as progress:
        assert isinstance(progress, TerminalProgress)
        logging.getLogger("nightreel").warning("trying [again]")
    assert "trying [again]\n" in console.export_text()
    assert handler.stream is sys.stderr
