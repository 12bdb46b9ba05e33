"""Watching the queue or one job until there is nothing more to see."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live

from jobs.caps import EstimatedHours
from jobs.exit_codes import ExitCode
from jobs.queue_snapshot import QueueSnapshots
from jobs.queue_view import lines, table, videos_table, view, views
from jobs.transcript import logs_of
from storage.job_log import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from jobs.queue_view import JobView
    from storage.job_queue import JobQueue

LOOK_EVERY_S: Final = 1.0


def watch(queue: JobQueue, job_id: str | None, console: Console, *, as_json: bool) -> ExitCode:
    """Show jobs until they have ended: a live table in a terminal, lines anywhere else.

    Returns:
        What the one job came to; 0 for the whole queue.
    """
    look = _looks(queue, job_id)
    if as_json:
        return _tell(look, lambda each: [json.dumps(each.as_json())], console)
    if not console.is_terminal:
        return _tell(look, lambda each: list(lines(each)), console)
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            shown = look()
            live.update(_picture(shown))
            if all(each.exit_code is not None for each in shown):
                return _code(shown, job_id)
            time.sleep(LOOK_EVERY_S)


def wait(queue: JobQueue, job_id: str) -> JobView:
    """Wait until a job has ended."""
    while True:
        job = queue.job(job_id)
        if job.state in ENDED:
            return view(queue, job)
        time.sleep(LOOK_EVERY_S)


def follow_logs(queue: JobQueue, job_id: str, say: Callable[[str], None], *, follow: bool) -> None:
    """Print what a job's drivers said, start after start, until it has ended."""
    told: dict[str, str] = {}
    while True:
        has_ended = queue.job(job_id).state in ENDED
        for key in sorted(queue.store.list_keys(logs_of(job_id))):
            text = queue.store.get_bytes(key).decode("utf-8", "replace")
            before = told.get(key, "")
            say(text.removeprefix(before) if text.startswith(before) else text)
            told[key] = text
        if has_ended or not follow:
            return
        time.sleep(LOOK_EVERY_S)


def _looks(queue: JobQueue, job_id: str | None) -> Callable[[], list[JobView]]:
    hours = EstimatedHours(1, quiet=True)
    if job_id is not None:
        return lambda: [view(queue, queue.job(job_id), hours)]
    snapshots = QueueSnapshots(queue)
    return lambda: views(queue, snapshots.now(), hours)


def _tell(
    look: Callable[[], list[JobView]], told: Callable[[JobView], list[str]], console: Console
) -> ExitCode:
    """Each line once."""
    said: set[str] = set()
    while True:
        shown = look()
        for line in (line for each in shown for line in told(each)):
            if line not in said:
                said.add(line)
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        if all(each.exit_code is not None for each in shown):
            return _code(shown, None if len(shown) != 1 else shown[0].job.request.id)
        time.sleep(LOOK_EVERY_S)


def _picture(shown: list[JobView]) -> RenderableType:
    parts: list[RenderableType] = [table(shown)]
    at_work = [each for each in shown if each.progress.get("videos") or len(shown) == 1]
    for each in at_work:
        parts += ["", videos_table(each)]
    return Group(*parts)


def _code(shown: list[JobView], job_id: str | None) -> ExitCode:
    if job_id is None or shown[0].exit_code is None:
        return ExitCode.ALL_RENDERED
    return shown[0].exit_code
