"""What the command's exit status says; the same for every command, for ever."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from pipeline.errors import ClusterError, NightreelError, StoreError

if TYPE_CHECKING:
    from jobs.render import JobSummary


class ExitCode(IntEnum):
    """Stable exit codes."""

    ALL_RENDERED = 0
    USAGE = 2
    SOME_FAILED = 3
    TRY_AGAIN = 4
    INTERRUPTED = 130


def code_of(error: NightreelError) -> ExitCode:
    """4 if the cluster or the store failed, so that a later run may succeed, else 2."""
    if isinstance(error, ClusterError | StoreError):
        return ExitCode.TRY_AGAIN
    return ExitCode.USAGE


def code_of_summary(summary: JobSummary) -> ExitCode:
    """0 if every row is a finished video, else 3."""
    return ExitCode.ALL_RENDERED if summary.is_clean else ExitCode.SOME_FAILED
