"""One ``Progress`` that passes everything on to several, whichever thread it comes from."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.progress import Progress
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection


class ProgressFan:
    """Tells each of its listeners, in order. See ``jobs.progress.Progress`` for what is told."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners, self._lock = listeners, threading.RLock()

    def job_started(self, num_rows: int) -> None:
        """The manifest is open."""
        with self._lock:
            for listener in self._listeners:
                listener.job_started(num_rows)

    def row_rejected(self, rejection: Rejection) -> None:
        """A row can't be rendered."""
        with self._lock:
            for listener in self._listeners:
                listener.row_rejected(rejection)

    def video_skipped(self, record: LedgerRecord) -> None:
        """A video is there already."""
        with self._lock:
            for listener in self._listeners:
                listener.video_skipped(record)

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """A video is not tried again."""
        with self._lock:
            for listener in self._listeners:
                listener.video_given_up(record, num_failures)

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """A video begins."""
        with self._lock:
            for listener in self._listeners:
                listener.video_started(plan, reason)

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """A take begins."""
        with self._lock:
            for listener in self._listeners:
                listener.sampling_started(video_id, num_segments, first_step)

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """A segment finished a step."""
        with self._lock:
            for listener in self._listeners:
                listener.step_done(video_id, segment, step)

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """So many frames are encoded by now."""
        with self._lock:
            for listener in self._listeners:
                listener.frames_done(video_id, num_frames)

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """A video is in the ledger."""
        with self._lock:
            for listener in self._listeners:
                listener.video_finished(record, duration_s)

    def video_left(self, video_id: str, reason: str) -> None:
        """A video is another driver's now."""
        with self._lock:
            for listener in self._listeners:
                listener.video_left(video_id, reason)

    def job_finished(self, summary: JobSummary) -> None:
        """All is done, or the job was stopped."""
        with self._lock:
            for listener in self._listeners:
                listener.job_finished(summary)
