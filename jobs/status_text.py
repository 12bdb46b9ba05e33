"""How a status is shown: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from jobs.progress_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.status import JobStatus, VideoState, VideoStatus

# What a person reads; programs get all of it.
SHOWN_OF_A_STATE: Final = 100
STATUS_FORMAT: Final = 1
_STYLES: Final[dict[VideoState, str]] = {
    "rendered": "green",
    "rendering": "cyan",
    "pending": "",
    "failed": "red",
    "rejected": "yellow",
}


def status_json(status: JobStatus) -> str:
    """The whole status as one JSON object."""
    videos = [asdict(video) for video in status.videos]
    content = {"format": STATUS_FORMAT, "uri": status.uri, "counts": status.counts}
    return json.dumps(content | {"videos": videos}, indent=2)


def status_table(status: JobStatus) -> Table:
    """The videos, so many of every state."""
    table = Table(box=None, pad_edge=False)
    table.add_column("video", overflow="fold")
    table.add_column("state")
    table.add_column("attempts", justify="right")
    table.add_column("", overflow="fold")
    for video in _shown(status.videos):
        table.add_row(
            Text(printable(video.id or "")),
            Text(video.state, style=_STYLES[video.state]),
            Text(str(video.attempt or "")),
            Text(_detail(video)),
        )
    return table


def totals_text(status: JobStatus) -> str:
    """Such as ``7 videos: 5 rendered, 2 failed``."""
    counts = [f"{count} {state}" for state, count in status.counts.items() if count]
    hidden = len(status.videos) - sum(1 for _ in _shown(status.videos))
    left_out = f"; {hidden} not shown, --json has all" if hidden else ""
    return f"{len(status.videos)} videos: {', '.join(counts) or 'none'}{left_out}"


def _shown(videos: tuple[VideoStatus, ...]) -> Iterator[VideoStatus]:
    shown: Counter[VideoState] = Counter()
    for video in videos:
        shown[video.state] += 1
        if shown[video.state] <= SHOWN_OF_A_STATE:
            yield video


def _detail(video: VideoStatus) -> str:
    if video.state == "rendering":
        return f"since {video.since} by {printable(video.holder or '')}"
    return printable(video.reason or video.key or "")
