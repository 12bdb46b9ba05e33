"""The sentences in which a job speaks of itself, the same in a terminal and in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.pace import clock_text

if TYPE_CHECKING:
    from jobs.render import JobSummary
    from pipeline.plan import VideoPlan
    from storage.record import LedgerRecord


def printable(text: str) -> str:
    """One line without control characters: manifests come from many hands, terminals obey them."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def started_text(plan: VideoPlan, reason: str) -> str:
    """What will be made."""
    request = plan.request
    text = (
        f"{request.duration_s:.1f} s of {request.width}x{request.height}, "
        f"{request.num_frames} frames, {plan.num_steps} steps"
    )
    return printable(f"{text}; {reason}" if reason else text)


def finished_text(record: LedgerRecord, duration_s: float) -> str:
    """What became of a video."""
    if record.state == "failed":
        return printable(f"after {clock_text(duration_s)}: {record.error}: {record.message}")
    film_s = record.duration_s or 0.0
    return (
        f"{film_s:.1f} s in {clock_text(duration_s)}, {size_text(record.size_bytes or 0)}, "
        f"{record.key}"
    )


def given_up_text(record: LedgerRecord, num_failures: int) -> str:
    """Why a video is not tried again, and what would make it."""
    times = "once" if num_failures == 1 else f"{num_failures} times"
    return printable(
        f"failed {times} and is not tried again ('nightreel retry' does); "
        f"at last: {record.error}: {record.message}"
    )


def summary_text(summary: JobSummary, num_rows: int) -> str:
    """What became of the job."""
    counts = {
        "rendered": len(summary.rendered),
        "there already": summary.skipped,
        "failed": len(summary.failed),
        "rejected": len(summary.rejected),
    }
    left = num_rows - sum(counts.values())
    told = [f"{count} {what}" for what, count in counts.items() if count]
    if left > 0:
        told.append(f"{left} left to do")
    return f"{', '.join(told) or 'nothing to do'} in {clock_text(summary.duration_s)}"


def size_text(size_bytes: int) -> str:
    """Bytes in the unit that a person would choose."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
