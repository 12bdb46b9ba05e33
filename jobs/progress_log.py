"""Progress for a log: plain lines, one for each event that matters, the rest now and then."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.pace import clock_text
from jobs.progress_count import JobCount
from jobs.progress_text import finished_text, given_up_text, printable, started_text, summary_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from jobs.progress_count import VideoCount
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection

# Often enough to see that it lives, seldom enough to read a night's log.
DEFAULT_INTERVAL_S = 30.0


class LogProgress:
    """Writes lines that begin with the time in UTC."""

    def __init__(
        self,
        stream: IO[str],
        *,
        interval_s: float = DEFAULT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stream = stream
        self._interval_s = interval_s
        self._clock = clock
        self._now = now
        self._count = JobCount()
        self._told_s = clock()
        self._skipped_told = 0

    def job_started(self, num_rows: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.num_rows = num_rows
        self._write(f"job: {num_rows} rows")

    def row_rejected(self, rejection: Rejection) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.rejected += 1
        self._write(f"rejected {rejection}")

    def video_skipped(self, record: LedgerRecord) -> None:
        """See ``jobs.progress.Progress``."""
        del record
        self._count.skipped += 1
        if self._is_time():
            self._tell_skipped()

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.given_up += 1
        self._write(f"video {record.id}: {given_up_text(record, num_failures)}")

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        self._tell_skipped()
        self._count.video_started(plan, self._clock())
        self._write(f"video {plan.request.id}: started, {started_text(plan, reason)}")

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.sampling_started(video_id, num_segments, self._clock(), first_step)
        resumed = f", from the snapshot at step {first_step}" if first_step else ""
        self._write(f"video {video_id}: sampling, {num_segments} segments{resumed}")

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """See ``jobs.progress.Progress``."""
        del segment, step
        self._tell_video(video_id, self._count.step_done(video_id, self._clock()), "steps")

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """See ``jobs.progress.Progress``."""
        video = self._count.frames_done(video_id, num_frames, self._clock())
        self._tell_video(video_id, video, "frames")

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        failed = record.state == "failed"
        self._count.video_finished(record.id, failed=failed, now_s=self._clock())
        told = finished_text(record, duration_s)
        self._write(
            f"video {record.id}: {record.state}, {told}; "
            f"{self._count.rows_done} of {self._count.num_rows} rows done{self._job_left()}"
        )

    def video_left(self, video_id: str, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.video_left(video_id, self._clock())
        self._write(f"video {video_id}: left, {reason}")

    def job_finished(self, summary: JobSummary) -> None:
        """See ``jobs.progress.Progress``."""
        self._write(f"job: {summary_text(summary, self._count.num_rows)}")

    def _tell_video(self, video_id: str, video: VideoCount, unit: str) -> None:
        if not self._is_time():
            return
        done = f"{video.done} of {video.total} {unit}" if video.total else "all frames encoded"
        remaining_s = video.pace.remaining_s(self._clock())
        left = "" if remaining_s is None else f", {clock_text(remaining_s)} left"
        self._write(f"video {video_id}: {video.phase}, {done}{left}{self._job_left()}")

    def _tell_skipped(self) -> None:
        if self._count.skipped > self._skipped_told:
            self._skipped_told = self._count.skipped
            self._write(f"job: {self._count.skipped} videos are there already")

    def _job_left(self) -> str:
        remaining_s = self._count.pace.remaining_s(self._clock())
        return "" if remaining_s is None else f", job {clock_text(remaining_s)} left"

    def _is_time(self) -> bool:
        return self._clock() - self._told_s >= self._interval_s

    def _write(self, line: str) -> None:
        self._told_s = self._clock()
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._stream.write(f"{stamp} {printable(line)}\n")
        self._stream.flush()
