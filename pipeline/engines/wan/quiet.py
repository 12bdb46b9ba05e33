"""Keeps transformers from drawing progress bars on stderr: an actor's stderr is a log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """While inside, transformers draws none; afterwards it is as it was."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
