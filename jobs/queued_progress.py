"""Progress of a queued job: lines for its log, and figures for whoever watches it."""

from __future__ import annotations

import time
from collections import deque
from typing import IO, TYPE_CHECKING, Any, Final

from jobs.progress_log import LogProgress

if TYPE_CHECKING:
    from jobs.progress_count import VideoCount
    from storage.record import LedgerRecord

# Videos that ended last, for whoever watches; the ledger has all.
_REMEMBERED: Final = 20


class QueuedProgress(LogProgress):
    """A ``jobs.progress.Progress`` whose figures can be asked for, from any thread."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._ended: deque[dict[str, str]] = deque(maxlen=_REMEMBERED)

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        """See ``jobs.progress.Progress``."""
        super().video_finished(record, duration_s)
        reason = f"{record.error}: {record.message}" if record.state == "failed" else ""
        self._ended.append({"id": record.id, "state": record.state, "reason": reason})

    def figures(self) -> dict[str, Any]:
        """How far the job is; seconds are as of now."""
        count, now_s = self._count, time.monotonic()
        left_s = count.pace.remaining_s(now_s)
        return {
            "num_rows": count.num_rows,
            "rendered": count.finished - count.failed + count.skipped,
            "failed": count.failed + count.given_up,
            "rejected": count.rejected,
            "eta_s": None if left_s is None else round(left_s),
            "videos": [_figures(name, v, now_s) for name, v in list(count.videos.items())],
            "ended": list(self._ended),
        }


def _figures(video_id: str, video: VideoCount, now_s: float) -> dict[str, Any]:
    left_s = video.pace.remaining_s(now_s)
    return {
        "id": video_id,
        "phase": video.phase,
        "share_done": round(video.share_done, 4),
        "eta_s": None if left_s is None else round(left_s),
    }
