"""What a running job tells whoever watches it: the Protocol between the driver and a display.

The driver (``jobs.render``) calls these; ``jobs.progress_terminal`` shows bars with ETA in a
terminal, ``jobs.progress_log`` writes plain lines. Calls come one at a time, those about one
video in order, many a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection


class Progress(Protocol):
    """Told of everything that happens in a job."""

    def job_started(self, num_rows: int) -> None:
        """The manifest is open and has that many rows, good and bad."""
        ...

    def row_rejected(self, rejection: Rejection) -> None:
        """A row can't be rendered."""
        ...

    def video_skipped(self, record: LedgerRecord) -> None:
        """An earlier run delivered this video; it was verified just now."""
        ...

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """A video failed so often that it is not tried again; ``record`` is of the last failure."""
        ...

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """A video begins; ``reason`` says why an earlier one does not count, or is empty.

        It has ``plan.num_steps`` steps, for each of its segments, and ``plan.request.num_frames``.
        """
        ...

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """The video's actors are ready; a take begins, at its last snapshot if it has one."""
        ...

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """A segment finished a step, counted from 0."""
        ...

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """So many frames of the video are encoded by now."""
        ...

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """A video is in the ledger, rendered or failed."""
        ...

    def video_left(self, video_id: str, reason: str) -> None:
        """A video that had begun is another driver's now."""
        ...

    def job_finished(self, summary: JobSummary) -> None:
        """All is done, or the job was stopped."""
        ...
