"""How queued jobs are shown: a table or a line for people, JSON for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from jobs.admission import AdmissionRules, held_because, unlimited
from jobs.exit_codes import ExitCode
from jobs.pace import clock_text
from jobs.progress_text import printable
from jobs.transcript import read_progress
from storage.job_log import ACTIVE, ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from storage.job_log import JobState
    from storage.job_queue import JobQueue, QueuedJob
    from storage.job_request import JobRequest

VIEW_FORMAT: Final = 1
_STYLES: Final[dict[JobState, str]] = {
    "running": "cyan",
    "pausing": "yellow",
    "paused": "yellow",
    "cancelling": "magenta",
    "cancelled": "magenta",
    "finished": "green",
    "failed": "red",
}
# Ended jobs say so in their last event, and what they came to.
_TRY_AGAIN_OR_USAGE: Final = frozenset({ExitCode.USAGE, ExitCode.SOME_FAILED, ExitCode.TRY_AGAIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as it is shown.

    Attributes:
        progress: what its driver said last; empty if it never ran.
        reason: why it is where it is; may be empty.
    """

    job: QueuedJob
    progress: dict[str, Any]
    reason: str

    @property
    def exit_code(self) -> ExitCode | None:
        """What ``submit --wait`` and ``watch`` end with; ``None`` while the job goes on."""
        state = self.job.state
        if state not in ENDED:
            return None
        if state == "cancelled":
            return ExitCode.INTERRUPTED
        code = self.job.events[-1].details.get("exit_code", 0 if state == "finished" else None)
        if state == "finished" or code in _TRY_AGAIN_OR_USAGE:
            return ExitCode(int(code or 0))
        return ExitCode.TRY_AGAIN

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        request = asdict(self.job.request)
        if self.job.request.window is not None:
            request["window"] = {k: str(v) for k, v in asdict(self.job.request.window).items()}
        code = self.exit_code
        return {
            "state": self.job.state,
            "reason": self.reason,
            "exit_code": None if code is None else int(code),
            "progress": self.progress or None,
            **request,
            "events": [asdict(logged) for logged in self.job.events],
        }


def view(
    queue: JobQueue,
    job: QueuedJob,
    gpu_hours: Callable[[JobRequest], float | None] = unlimited,
) -> JobView:
    """Read what there is to be shown of a job; ``gpu_hours`` as in ``held_because``."""
    progress = (read_progress(queue.store, job.request.id) or {}) if job.events else {}
    return JobView(job=job, progress=progress, reason=_reason(job, gpu_hours))


def views(
    queue: JobQueue,
    jobs: Iterable[QueuedJob],
    gpu_hours: Callable[[JobRequest], float | None] = unlimited,
) -> list[JobView]:
    """Those at work first, then those that wait, then those that have ended, each oldest first."""
    shown = [view(queue, job, gpu_hours) for job in jobs]
    return sorted(shown, key=lambda v: (_place(v.job), _since(v.job), v.job.request.id))


def table(shown: Iterable[JobView]) -> Table:
    """Jobs, one a line."""
    found = Table(box=None, pad_edge=False)
    for name in ("job", "owner", "state"):
        found.add_column(name, overflow="fold")
    found.add_column("priority", justify="right")
    found.add_column("videos", justify="right")
    found.add_column("ETA", justify="right")
    found.add_column("", overflow="fold")
    for each in shown:
        request, state = each.job.request, each.job.state
        found.add_row(
            Text(request.id),
            Text(printable(request.owner)),
            Text(state, style=_STYLES.get(state, "")),
            Text(str(request.priority) if request.priority else ""),
            Text(videos_text(each)),
            Text(eta_text(each)),
            Text(printable(each.reason)),
        )
    return found


def videos_table(each: JobView) -> Table:
    """What a job renders now, and what it rendered last."""
    found = Table(box=None, pad_edge=False)
    for name in ("video", "state"):
        found.add_column(name, overflow="fold")
    found.add_column("done", justify="right")
    found.add_column("ETA", justify="right")
    found.add_column("", overflow="fold")
    for ended in each.progress.get("ended", []):
        style = "red" if ended["state"] == "failed" else "green"
        found.add_row(
            Text(ended["id"]),
            Text(ended["state"], style=style),
            Text(""),
            Text(""),
            Text(printable(ended["reason"])),
        )
    if each.job.state in ACTIVE:
        for video in each.progress.get("videos", []):
            left_s = video["eta_s"]
            found.add_row(
                Text(video["id"]),
                Text(video["phase"], style="cyan"),
                Text(f"{video['share_done']:.0%}"),
                Text("" if left_s is None else clock_text(left_s)),
                Text(""),
            )
    return found


def lines(each: JobView) -> Iterator[str]:
    """A job as a log has it: a line for itself, one for each video at work."""
    request = each.job.request
    told = [f"job {request.id}: {each.job.state}"]
    if videos_text(each):
        told.append(f"videos {videos_text(each)}")
    if eta_text(each):
        told.append(f"{eta_text(each)} left")
    yield printable(", ".join(told) + (f"; {each.reason}" if each.reason else ""))
    for ended in each.progress.get("ended", []):
        reason = f", {ended['reason']}" if ended["reason"] else ""
        yield printable(f"job {request.id}: video {ended['id']}: {ended['state']}{reason}")
    if each.job.state in ACTIVE:
        for video in each.progress.get("videos", []):
            yield f"job {request.id}: video {video['id']}: {video['phase']}"


def videos_text(each: JobView) -> str:
    """Such as ``3/12, 1 failed``; empty if nobody has counted them yet."""
    progress = each.progress
    if not progress.get("num_rows"):
        return ""
    lost = progress["failed"] + progress["rejected"]
    failed = f", {lost} failed" if lost else ""
    return f"{progress['rendered']}/{progress['num_rows']}{failed}"


def eta_text(each: JobView) -> str:
    """How long it still takes; empty if that is not known."""
    left_s = each.progress.get("eta_s")
    if left_s is None or each.job.state != "running":
        return ""
    return clock_text(left_s)


def _place(job: QueuedJob) -> int:
    return 0 if job.state in ACTIVE else 2 if job.state in ENDED else 1


def _since(job: QueuedJob) -> datetime:
    return datetime.fromisoformat(job.request.submitted_at)


def _reason(job: QueuedJob, gpu_hours: Callable[[JobRequest], float | None]) -> str:
    if job.state == "queued":
        held = held_because(job, datetime.now(UTC), AdmissionRules(), gpu_hours)
        if held:
            return held
    if not job.events or job.state == "running":
        return ""
    return job.events[-1].reason
