"""What a job's driver tells Prometheus: videos by state, when it will end, when it last moved.

These are gauges: they are there while the driver lives and gone within half a minute of its end.
Two of them are moments, so that they mean the same whenever they are read, and go on meaning it
when the driver is stuck and no longer tells anything. Before Ray is there nothing can be told, so
all is told again when a video's actors are ready.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

import ray
from ray.util.metrics import Gauge

from jobs.progress_count import JobCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection

VideoState = Literal["waiting", "rendering", "rendered", "skipped", "failed", "rejected"]
VIDEO_STATES: Final[tuple[VideoState, ...]] = (
    *("waiting", "rendering", "rendered", "skipped", "failed", "rejected"),
)


class JobMetrics:
    """A ``jobs.progress.Progress`` that counts; see there for what its methods are told."""

    def __init__(
        self,
        job: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._job, self._clock, self._now = job, clock, now
        self._count = JobCount()
        self._videos = Gauge(
            "nightreel_videos", "Rows of the running jobs' manifests.", ("job_id", "state")
        )
        self._progress_at = Gauge(
            "nightreel_job_progress_timestamp_seconds",
            "When a job last finished a step, a run of frames or a video.",
            ("job_id",),
        )
        self._end_at = Gauge(
            "nightreel_job_end_timestamp_seconds",
            "When a job will end at its pace so far.",
            ("job_id",),
        )

    @property
    def by_state(self) -> dict[VideoState, int]:
        """Rows by what has become of them so far; they sum up to the manifest's."""
        count = self._count
        rendering = len(count.videos)
        return {
            "waiting": count.num_rows - count.rows_done - rendering,
            "rendering": rendering,
            "rendered": count.finished - count.failed,
            "skipped": count.skipped,
            "failed": count.failed + count.given_up,
            "rejected": count.rejected,
        }

    def job_started(self, num_rows: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.num_rows = num_rows

    def row_rejected(self, rejection: Rejection) -> None:
        """See ``jobs.progress.Progress``."""
        del rejection
        self._count.rejected += 1

    def video_skipped(self, record: LedgerRecord) -> None:
        """See ``jobs.progress.Progress``."""
        del record
        self._count.skipped += 1

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """See ``jobs.progress.Progress``."""
        del record, num_failures
        self._count.given_up += 1

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        del reason
        self._count.video_started(plan, self._clock())
        self._tell_videos()

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.sampling_started(video_id, num_segments, self._clock(), first_step)
        self._tell_videos()

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """See ``jobs.progress.Progress``."""
        del segment, step
        self._count.step_done(video_id, self._clock())
        self._tell_times()

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.frames_done(video_id, num_frames, self._clock())
        self._tell_times()

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        del duration_s
        failed = record.state == "failed"
        self._count.video_finished(record.id, failed=failed, now_s=self._clock())
        self._tell_videos()

    def video_left(self, video_id: str, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        del reason
        self._count.video_left(video_id, self._clock())
        self._tell_videos()

    def job_finished(self, summary: JobSummary) -> None:
        """See ``jobs.progress.Progress``."""
        del summary
        self._tell_videos()

    def _tell_videos(self) -> None:
        if not ray.is_initialized():
            return
        for state, number in self.by_state.items():
            self._videos.set(number, {"job_id": self._job, "state": state})
        self._tell_times()

    def _tell_times(self) -> None:
        if not ray.is_initialized():
            return
        tags, now = {"job_id": self._job}, self._now()
        self._progress_at.set(now, tags)
        remaining_s = self._count.pace.remaining_s(self._clock())
        if remaining_s is not None:
            self._end_at.set(now + remaining_s, tags)
