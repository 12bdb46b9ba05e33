"""Adds up what the gang tells of one video, and passes it on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs.sidecar import Timings

if TYPE_CHECKING:
    from actors.step_report import StepReport
    from jobs.heartbeat import Heartbeat
    from jobs.orders import Orders
    from jobs.progress import Progress


class Tally:
    """An ``actors.take.Watcher`` of one video; an attempt starts it anew.

    It is asked many times a second, so here a driver learns that it has lost the video, or that
    nobody wants it any more.
    """

    def __init__(
        self, progress: Progress, video_id: str, heartbeat: Heartbeat, orders: Orders
    ) -> None:
        self._progress, self._id, self._heartbeat = progress, video_id, heartbeat
        self._orders = orders
        self._begun_s = time.monotonic()
        self._reports: list[StepReport] = []
        self._sampling_s = (0.0, 0.0)
        self._num_segments = 0

    def on_start(self, num_segments: int, first_step: int) -> None:
        """See ``actors.take.Watcher``."""
        self._check()
        self._orders.at_work(self._id, is_sampling=True)
        self._num_segments = num_segments
        self._reports.clear()
        now_s = time.monotonic()
        self._sampling_s = (now_s, now_s)
        self._progress.sampling_started(self._id, num_segments, first_step)

    def on_step(self, report: StepReport) -> None:
        """See ``actors.take.Watcher``."""
        self._check()
        self._reports.append(report)
        self._sampling_s = (self._sampling_s[0], time.monotonic())
        self._progress.step_done(self._id, report.segment, report.step)

    def on_frames(self, num_frames: int) -> None:
        """See ``actors.take.Watcher``."""
        self._check()
        self._progress.frames_done(self._id, num_frames)

    def _check(self) -> None:
        self._heartbeat.check()
        self._orders.check_video(self._id)

    @property
    def profiles(self) -> set[str]:
        """The memory profiles that the last attempt's steps were computed with."""
        return {report.profile for report in self._reports if report.profile}

    def timings(self, delivery_s: float) -> Timings:
        """What the last attempt took, its delivery included."""
        return Timings(
            total_s=round(time.monotonic() - self._begun_s, 3),
            sampling_s=round(self._sampling_s[1] - self._sampling_s[0], 3),
            compute_s=round(sum(report.compute_s for report in self._reports), 3),
            waited_s=round(sum(report.waited_s for report in self._reports), 3),
            delivery_s=round(delivery_s, 3),
            num_windows=sum(report.num_windows for report in self._reports),
            boundary_bytes=sum(report.sent_bytes for report in self._reports),
            num_segments=self._num_segments,
        )
