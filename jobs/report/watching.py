"""A display that also keeps the job's page up to date; what it is told goes on to the shown one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.report.collect import Collector
from jobs.report.page import CONTENT_TYPE, page_html
from jobs.report.writer import INTERVAL_S, PageWriter
from storage import keys

if TYPE_CHECKING:
    from jobs.progress import Progress
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.manifest import Manifest
    from storage.record import LedgerRecord
    from storage.rejected import Rejection
    from storage.stored import StoreWithListing


def put_page(
    store: StoreWithListing,
    collector: Collector,
    *,
    rejected: list[Rejection] | None = None,
    refresh_s: float | None = None,
) -> None:
    """Write ``index.html`` anew; a reader sees the old page or the new one, whole.

    Raises:
        UserError: the manifest can't be read.
        StoreError: the store can't, or can't be written to.
    """
    report = collector.collect(rejected)
    page = page_html(report, refresh_s=refresh_s)
    store.put_bytes(keys.INDEX, page, content_type=CONTENT_TYPE, overwrite=True)


class PageProgress:
    """A ``jobs.progress.Progress`` around another one."""

    def __init__(
        self,
        shown: Progress,
        store: StoreWithListing,
        manifest: Manifest,
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._shown, self._store = shown, store
        self._collector = Collector(store, manifest)
        self._rejected: list[Rejection] = []
        self._interval_s = interval_s
        self._writer = PageWriter(self._write, interval_s=interval_s)

    def job_started(self, num_rows: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.job_started(num_rows)
        self._writer.start()

    def row_rejected(self, rejection: Rejection) -> None:
        """See ``jobs.progress.Progress``."""
        self._rejected.append(rejection)
        self._shown.row_rejected(rejection)
        self._writer.changed()

    def video_skipped(self, record: LedgerRecord) -> None:
        """See ``jobs.progress.Progress``; the page has that video already."""
        self._shown.video_skipped(record)

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """See ``jobs.progress.Progress``; the page has that video already."""
        self._shown.video_given_up(record, num_failures)

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.video_started(plan, reason)
        self._writer.changed()

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.sampling_started(video_id, num_segments, first_step)

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.step_done(video_id, segment, step)

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.frames_done(video_id, num_frames)

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.video_finished(record, duration_s)
        self._writer.changed()

    def video_left(self, video_id: str, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        self._shown.video_left(video_id, reason)
        self._writer.changed()

    def job_finished(self, summary: JobSummary) -> None:
        """See ``jobs.progress.Progress``."""
        try:
            self._shown.job_finished(summary)
        finally:
            self._writer.end()

    def _write(self, goes_on: bool) -> None:
        put_page(
            self._store,
            self._collector,
            rejected=list(self._rejected),
            refresh_s=self._interval_s if goes_on else None,
        )
