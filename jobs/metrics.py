"""What a job's driver tells Prometheus: videos by state, when it will end, when it last moved.

These are gauges. Ray forgets one that was not set for two of its reports (20 s), so a thread sets
them again every second, and they are gone soon after the driver. Two of them are moments, so that
they mean the same whenever they are read, and go on meaning it when the job is stuck.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
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
TELL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Figures:
    """What is told; made by the job's thread and read by the one that tells."""

    by_state: dict[VideoState, int]
    progress_at_s: float | None = None
    end_at_s: float | None = None


class JobMetrics:
    """A ``jobs.progress.Progress`` that counts; see there for what its methods are told."""

    def __init__(
        self,
        job: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._job, self._clock, self._now = job, clock, now
        self._count, self._figures = JobCount(), _Figures({})
        self._ended = threading.Event()
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
        self._note()
        threading.Thread(target=self._tell_on, name="job-metrics", daemon=True).start()

    def row_rejected(self, rejection: Rejection) -> None:
        """See ``jobs.progress.Progress``."""
        del rejection
        self._count.rejected += 1
        self._note(moved=False)

    def video_skipped(self, record: LedgerRecord) -> None:
        """See ``jobs.progress.Progress``."""
        del record
        self._count.skipped += 1
        self._note(moved=False)

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """See ``jobs.progress.Progress``."""
        del record, num_failures
        self._count.given_up += 1
        self._note(moved=False)

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        del reason
        self._count.video_started(plan, self._clock())
        self._note()

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.sampling_started(video_id, num_segments, self._clock(), first_step)
        self._note()

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """See ``jobs.progress.Progress``."""
        del segment, step
        self._count.step_done(video_id, self._clock())
        self._note()

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.frames_done(video_id, num_frames, self._clock())
        self._note()

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        del duration_s
        failed = record.state == "failed"
        self._count.video_finished(record.id, failed=failed, now_s=self._clock())
        self._note()

    def video_left(self, video_id: str, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        del reason
        self._count.video_left(video_id, self._clock())
        self._note()

    def job_finished(self, summary: JobSummary) -> None:
        """See ``jobs.progress.Progress``."""
        del summary
        self._note()
        self._ended.set()

    def _note(self, *, moved: bool = True) -> None:
        """Keep the figures for the thread that tells them."""
        now_s = self._now()
        remaining_s = self._count.pace.remaining_s(self._clock())
        self._figures = _Figures(
            by_state=self.by_state,
            progress_at_s=now_s if moved else self._figures.progress_at_s,
            end_at_s=None if remaining_s is None else now_s + remaining_s,
        )

    def _tell_on(self) -> None:
        while not self._ended.wait(TELL_S):
            if ray.is_initialized():
                self._tell(self._figures)

    def _tell(self, figures: _Figures) -> None:
        tags = {"job_id": self._job}
        for state, number in figures.by_state.items():
            self._videos.set(number, {**tags, "state": state})
        if figures.progress_at_s is not None:
            self._progress_at.set(figures.progress_at_s, tags)
        if figures.end_at_s is not None:
            self._end_at.set(figures.end_at_s, tags)
