"""Keeps a scheduler going: until it is stopped, through whatever the store does meanwhile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobs.store_settings import load_store_options
from pipeline.errors import ManifestError, ManifestMissingError, StoreError
from storage.manifest import find_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from jobs.scheduler import Scheduler
    from storage.job_request import JobRequest
    from storage.schedule_runs import ScheduledRun

LOG = logging.getLogger("nightreel.scheduler")

# How often new and changed schedules are looked for, as Kubernetes does.
POLL_S: Final = 10.0
_SHORTEST_PAUSE_S: Final = 0.01


def silent(lags_s: Mapping[str, float]) -> None:
    """Shows nobody how late schedules are."""
    del lags_s


def keep(
    scheduler: Scheduler,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    report: Callable[[ScheduledRun], None],
    show: Callable[[Mapping[str, float]], None] = silent,
) -> None:
    """Settle what is due, for ever; an unreachable store is tried again.

    Args:
        scheduler: whose clock is ``clock``.
        clock: tells the time.
        sleep: waits so many seconds by it.
        report: told of each settled run.
        show: told how late each schedule is, by name, after each round.
    """
    while True:
        pause_s = POLL_S
        try:
            for run in scheduler.tick():
                report(run)
            show(scheduler.lags_s())
            due = scheduler.next_due()
            if due is not None and not scheduler.problems:
                pause_s = min(pause_s, (due - clock()).total_seconds())
        except StoreError as error:
            LOG.warning("%s: %s; trying again", type(error).__name__, error)
        sleep(max(pause_s, _SHORTEST_PAUSE_S))


def has_manifest(request: JobRequest) -> bool:
    """Whether there is anything at a request's manifest URI, reached as the job will reach it.

    What is there and is no manifest is for the job to complain of.

    Raises:
        StoreError: it can't be looked for.
    """
    of_store = [text for text in request.settings if text.startswith("store.")]
    try:
        find_files(request.manifest, load_store_options(overrides=of_store))
    except ManifestMissingError:
        return False
    except ManifestError:
        return True
    return True
