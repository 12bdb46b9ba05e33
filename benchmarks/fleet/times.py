"""When things happened in a job, by a progress that writes it down."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection


@dataclass(slots=True)
class Times:
    """A ``jobs.progress.Progress``; seconds on one clock, by video.

    Attributes:
        begun_s: when it was made.
        turn_s, sampling_s, frame_s, finished_s: when a video had its actors, when they began, when
            its first frames were encoded, when it was in the ledger.
        num_segments: actors of a video.
    """

    begun_s: float = field(default_factory=time.perf_counter)
    turn_s: dict[str, float] = field(default_factory=dict)
    sampling_s: dict[str, float] = field(default_factory=dict)
    frame_s: dict[str, float] = field(default_factory=dict)
    finished_s: dict[str, float] = field(default_factory=dict)
    num_segments: dict[str, int] = field(default_factory=dict)

    def job_started(self, num_rows: int) -> None:
        """Nothing to note."""

    def row_rejected(self, rejection: Rejection) -> None:
        """No row is bad."""
        raise AssertionError(rejection)

    def video_skipped(self, record: LedgerRecord) -> None:
        """No video is there already."""
        raise AssertionError(record)

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """No video has failed before."""
        raise AssertionError(record, num_failures)

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """A video has its actors."""
        assert not reason
        self.turn_s[plan.request.id] = time.perf_counter()

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """They begin."""
        assert first_step == 0
        self.sampling_s[video_id] = time.perf_counter()
        self.num_segments[video_id] = num_segments

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """Nothing to note."""

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """Frames are encoded."""
        if num_frames:
            self.frame_s.setdefault(video_id, time.perf_counter())

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """A video is in the ledger."""
        del duration_s
        assert record.state == "rendered", f"{record.id}: {record.error}: {record.message}"
        self.finished_s[record.id] = time.perf_counter()

    def video_left(self, video_id: str, reason: str) -> None:
        """No other driver is there."""
        raise AssertionError(video_id, reason)

    def job_finished(self, summary: JobSummary) -> None:
        """Nothing to note."""
