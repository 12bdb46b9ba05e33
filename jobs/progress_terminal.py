"""Progress for a person: bars with ETA, and a line that stays for every video that is finished."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, ProgressColumn, SpinnerColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from jobs.pace import clock_text
from jobs.progress_count import JobCount, VideoCount
from jobs.progress_text import finished_text, given_up_text, printable, summary_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import Task, TaskID

    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord
    from storage.rejected import Rejection

# All columns together fit 80 characters; what is counted may grow.
NAME_WIDTH = 22
BAR_WIDTH = 20
REFRESHES_PER_S = 4


class TerminalProgress:
    """Bars in a terminal: one for the job, one for each video that is being rendered."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._count = JobCount()
        self._tasks: dict[str, TaskID] = {}
        self._bars = Bars(
            SpinnerColumn("line", finished_text=" "),
            _FieldColumn("name", Column(width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")),
            _FieldColumn("phase", Column(min_width=9, no_wrap=True)),
            BarColumn(bar_width=BAR_WIDTH),
            _FieldColumn("counted", Column(min_width=11, no_wrap=True, justify="right")),
            _EtaColumn(clock),
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        )
        self._job: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def job_started(self, num_rows: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.num_rows = num_rows
        self._job = self._add(Text("all videos", style="bold"))
        self._show_job()

    def row_rejected(self, rejection: Rejection) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.rejected += 1
        self._tell("rejected", "yellow", str(rejection))
        self._show_job()

    def video_skipped(self, record: LedgerRecord) -> None:
        """See ``jobs.progress.Progress``."""
        del record
        self._count.skipped += 1
        self._show_job()

    def video_given_up(self, record: LedgerRecord, num_failures: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.given_up += 1
        self._tell("failed", "red", f"{record.id}: {given_up_text(record, num_failures)}")
        self._show_job()

    def video_started(self, plan: VideoPlan, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        video_id = plan.request.id
        if reason:
            self._tell("again", "cyan", f"{video_id}: {reason}")
        self._tasks[video_id] = self._add(Text(printable(video_id), style="cyan"))
        self._show(video_id, self._count.video_started(plan, self._clock()))

    def sampling_started(self, video_id: str, num_segments: int, first_step: int = 0) -> None:
        """See ``jobs.progress.Progress``."""
        now_s = self._clock()
        count = self._count.sampling_started(video_id, num_segments, now_s, first_step)
        self._show(video_id, count)

    def step_done(self, video_id: str, segment: int, step: int) -> None:
        """See ``jobs.progress.Progress``."""
        del segment, step
        self._show(video_id, self._count.step_done(video_id, self._clock()))

    def frames_done(self, video_id: str, num_frames: int) -> None:
        """See ``jobs.progress.Progress``."""
        self._show(video_id, self._count.frames_done(video_id, num_frames, self._clock()))

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        failed = record.state == "failed"
        self._count.video_finished(record.id, failed=failed, now_s=self._clock())
        self._bars.remove_task(self._tasks.pop(record.id))
        style = "red" if failed else "green"
        self._tell(record.state, style, f"{record.id}: {finished_text(record, duration_s)}")
        self._show_job()

    def video_left(self, video_id: str, reason: str) -> None:
        """See ``jobs.progress.Progress``."""
        self._count.video_left(video_id, self._clock())
        self._bars.remove_task(self._tasks.pop(video_id))
        self._tell("left", "yellow", f"{video_id}: {reason}")
        self._show_job()

    def job_finished(self, summary: JobSummary) -> None:
        """See ``jobs.progress.Progress``."""
        style = "bold green" if summary.is_clean else "bold yellow"
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._tell("job", style, summary_text(summary, self._count.num_rows))

    def _add(self, name: Text) -> TaskID:
        return self._bars.add_task("", total=None, name=name, phase="", counted="", pace=None)

    def _show(self, video_id: str, video: VideoCount) -> None:
        self._bars.update(
            self._tasks[video_id],
            phase=video.phase,
            total=video.total or None,
            completed=video.done,
            counted=_counted(video),
            pace=video.pace,
        )
        self._show_job()

    def _show_job(self) -> None:
        if self._job is None:
            return
        count = self._count
        done = count.rows_done + sum(video.share_done for video in count.videos.values())
        self._bars.update(
            self._job,
            total=count.num_rows,
            completed=done,
            counted=f"{count.rows_done}/{count.num_rows} rows",
            pace=count.pace,
        )

    def _tell(self, what: str, style: str, text: str) -> None:
        line = Text.assemble((f"{what:>8}", style), " ", printable(text))
        self._console.print(line, soft_wrap=True)


def _counted(video: VideoCount) -> str:
    if not video.total:
        return ""
    unit = "frames" if video.phase == "decoding" else "steps"
    return f"{video.done}/{video.total} {unit}"


class _FieldColumn(ProgressColumn):
    """Shows one of a task's own fields as it is: text is never taken for markup."""

    def __init__(self, field: str, column: Column) -> None:
        super().__init__(table_column=column)
        self._field = field

    def render(self, task: Task) -> Text:
        value = task.fields[self._field]
        return value if isinstance(value, Text) else Text(value)


class _EtaColumn(ProgressColumn):
    """Time that is left at the mean pace so far; steps may take minutes, so no recent window."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(table_column=Column(min_width=9, no_wrap=True, justify="right"))
        self._clock = clock

    def render(self, task: Task) -> Text:
        pace = task.fields["pace"]
        remaining_s = None if pace is None else pace.remaining_s(self._clock())
        if remaining_s is None:
            return Text("")
        return Text(f"{clock_text(remaining_s)} left", style="progress.remaining")
