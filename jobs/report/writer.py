"""Keeps ``index.html`` up to date while a job runs, beside the job and never in its way."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("nightreel.report")

# Somebody who watches a night wants to see a film soon, and no store wants a page every second.
INTERVAL_S: Final = 30.0
# A large page on a slow store takes at most this share of the time.
MAX_SHARE: Final = 0.05
# For the last page on its way to a store that doesn't answer.
PATIENCE_S: Final = 30.0


class PageWriter:
    """A thread that writes the page at the start, after changes, and at the end.

    Whatever goes wrong there is logged and left at that: a page is worth no film.
    """

    def __init__(self, write: Callable[[bool], None], *, interval_s: float = INTERVAL_S) -> None:
        """Nothing happens before ``start``.

        Args:
            write: writes the page; told whether the job goes on.
            interval_s: least time between two pages.
        """
        self._write, self._interval_s = write, interval_s
        self._changed, self._ended = threading.Event(), threading.Event()
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Write the first page, and go on."""
        self._thread.start()

    def changed(self) -> None:
        """Something is new: the page is written soon. Returns at once."""
        with self._wake:
            self._changed.set()
            self._wake.notify()

    def end(self) -> None:
        """Write the last page, and wait for it, but not for ever."""
        if self._thread.ident is None:
            return
        with self._wake:
            self._ended.set()
            self._wake.notify()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            LOG.warning("the report is late and left as it is; 'nightreel report' writes it anew")

    def _run(self) -> None:
        while not self._ended.is_set():
            self._changed.clear()
            pause_s = max(self._interval_s, self._written(goes_on=True) / MAX_SHARE)
            self._ended.wait(pause_s)
            with self._wake:
                self._wake.wait_for(lambda: self._changed.is_set() or self._ended.is_set())
        self._written(goes_on=False)

    def _written(self, *, goes_on: bool) -> float:
        """Write a page; how long it took, in seconds."""
        began_s = time.monotonic()
        try:
            self._write(goes_on)
        except Exception as error:  # noqa: BLE001 - a page is worth no film, whatever went wrong
            LOG.warning("can't write the report: %s: %s", type(error).__name__, error)
        return time.monotonic() - began_s
