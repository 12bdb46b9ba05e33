"""Chooses how a job shows its progress: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from jobs.progress_log import LogProgress
from jobs.progress_terminal import TerminalProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.progress import Progress


@contextmanager
def display(console: Console | None = None) -> Iterator[Progress]:
    """Show progress on standard error while the block runs.

    Args:
        console: another place to show it.
    """
    shown = console if console is not None else Console(stderr=True)
    if not shown.is_terminal or shown.is_dumb_terminal:
        yield LogProgress(shown.file)
        return
    with _logging_above(shown), TerminalProgress(shown) as progress:
        yield progress


@contextmanager
def _logging_above(console: Console) -> Iterator[None]:
    """Let log lines that go to standard error appear above the bars, not in them."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    lines = _Lines(console)
    before = [handler.setStream(lines) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)


class _Lines:
    """A text stream that prints through a console, as it is."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        """Print ``text``."""
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
