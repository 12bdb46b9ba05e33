"""What may be asked of a driver while it works: to pause, to stop, to leave a video out.

``Orders`` asks nothing; a driver that a person started by hand has one. ``QueueOrders`` reads the
log of a queued job every second, in a thread of its own.

A pause waits for running steps and their snapshot, which the driver's own loop sees to. Where there
is no step to wait for, such as while an engine is loaded or another driver is waited for, and for a
cancellation, the main thread is interrupted, as by Ctrl-C: that ends the gang and leaves nothing
behind, wherever it is.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from pipeline.errors import PausedError, StoreError, VideoCancelledError
from storage.job_log import state_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from jobs.cancelled_videos import CancelledVideos
    from storage.job_log import JobLog, JobState, LoggedEvent

LOG = logging.getLogger("nightreel.orders")

POLL_S: Final = 1.0
# So long a pause waits for a video to begin, or for the main thread to come to its next row.
IDLE_PATIENCE_S: Final = 3.0


class Orders:
    """Nothing is asked."""

    def wants_pause(self) -> bool:
        """Whether the video at hand is to stop at its next snapshot; asked often."""
        return False

    def check(self) -> None:
        """Asked between two videos.

        Raises:
            PausedError: the job is to pause.
        """

    def check_video(self, video_id: str) -> None:
        """Asked before a video begins and after each of its steps.

        Raises:
            VideoCancelledError: it is not wanted any more.
        """

    def at_work(self, video_id: str, *, is_sampling: bool) -> None:
        """A video has actors that compute it, or has no more."""


class QueueOrders(Orders):
    """The orders in the log of a queued job. Use as a context manager.

    Attributes:
        state: of the job, as it was when the log was last read.
        is_superseded: the job was started anew elsewhere, and this driver is to end.
    """

    def __init__(self, log: JobLog, start: int, cancelled: CancelledVideos) -> None:
        """``start`` is the number of the event by which this driver was started."""
        self._log, self._start, self._cancelled = log, start, cancelled
        self.state: JobState = "running"
        self.is_superseded = False
        self._skipped: frozenset[str] = frozenset()
        self._sampling: set[str] = set()
        self._was_interrupted = False
        self._pause_since_s: float | None = None
        self._stop, self._quiet = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="orders", daemon=True)

    def __enter__(self) -> Self:
        self.read()
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(POLL_S)

    def quiet(self) -> None:
        """Interrupt nobody from now on: the driver is coming to its end."""
        self._quiet.set()

    def listen(self) -> None:
        """The driver goes on."""
        self._was_interrupted = False
        self._quiet.clear()

    def wants_pause(self) -> bool:
        """See ``Orders``."""
        return self.state == "pausing"

    def check(self) -> None:
        """See ``Orders``."""
        if self.wants_pause():
            raise PausedError("paused between two videos")

    def check_video(self, video_id: str) -> None:
        """See ``Orders``."""
        if video_id in self._skipped:
            raise VideoCancelledError(f"video '{video_id}' was cancelled")

    def at_work(self, video_id: str, *, is_sampling: bool) -> None:
        """See ``Orders``."""
        if is_sampling:
            self._sampling.add(video_id)
        else:
            self._sampling.discard(video_id)

    def read(self) -> None:
        """Look at the log now.

        Raises:
            StoreError: the store refused.
        """
        events = self._log.events()
        self.state = state_after(events)
        self.is_superseded = last_start(events) != self._start
        self._skipped = self._cancelled.ids()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.read()
            except StoreError as error:
                LOG.warning("can't read the job's log now: %s", error)
                continue
            if self._is_to_end() and not self._quiet.is_set():
                self._interrupt()

    def _is_to_end(self) -> bool:
        if self.is_superseded or self.state == "cancelling":
            return True
        if self.state != "pausing" or self._sampling:
            self._pause_since_s = None
            return False
        if self._pause_since_s is None:
            self._pause_since_s = time.monotonic()
        return time.monotonic() - self._pause_since_s > IDLE_PATIENCE_S

    def _interrupt(self) -> None:
        if not self._was_interrupted:
            self._was_interrupted = True
            os.kill(os.getpid(), signal.SIGTERM)


def last_start(events: Sequence[LoggedEvent]) -> int:
    """The number of the event by which a job was last started; 0 if it never was."""
    return max((logged.number for logged in events if logged.event == "started"), default=0)
