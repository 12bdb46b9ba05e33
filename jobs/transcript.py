"""What a queued job's driver says, and how far it is, kept in the queue while it runs.

Ray forgets a job's log with its head. Here it lies beside the job's events:

    jobs/<id>/logs/<start>.txt    what the driver of one start said, the last MB of it
    jobs/<id>/progress.json       how far the newest driver is
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

from pipeline.errors import ObjectMissingError, StoreError
from storage.job_queue import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from pipeline.stores import ObjectStore

SAVE_EVERY_S: Final = 2.0
MAX_CHARACTERS: Final = 1_000_000
_PATIENCE_S: Final = 30.0


def log_key(job_id: str, start: int) -> str:
    """Where the log of one start lies."""
    return f"{JOBS}{job_id}/logs/{start:06d}.txt"


def logs_of(job_id: str) -> str:
    """Prefix, with its slash, of the logs of all starts."""
    return f"{JOBS}{job_id}/logs/"


def progress_key(job_id: str) -> str:
    """Where the progress of a job lies."""
    return f"{JOBS}{job_id}/progress.json"


def read_progress(store: ObjectStore, job_id: str) -> dict[str, Any] | None:
    """How far a job is, as its driver said last; ``None`` if none has said anything."""
    try:
        found = json.loads(store.get_bytes(progress_key(job_id)))
    except (ObjectMissingError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class Transcript:
    """A text stream that also goes to the store. Use as a context manager.

    A store that can't be reached now is tried again later; it stops no job.
    """

    def __init__(
        self,
        store: ObjectStore,
        job_id: str,
        start: int,
        *,
        echo: IO[str],
        progress: Callable[[], dict[str, Any]],
    ) -> None:
        self._store, self._job_id, self._start = store, job_id, start
        self._echo, self._progress = echo, progress
        self._lock = threading.Lock()
        self._text, self._saved = "", ("", "")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._save_often, name="transcript", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(_PATIENCE_S)

    def write(self, text: str) -> int:
        """Say something."""
        with self._lock:
            self._text = (self._text + text)[-MAX_CHARACTERS:]
        return self._echo.write(text)

    def flush(self) -> None:
        """Let it be seen at once where there is somebody to see it."""
        self._echo.flush()

    def _save_often(self) -> None:
        while not self._stop.wait(SAVE_EVERY_S):
            self._save()
        self._save()

    def _save(self) -> None:
        with self._lock:
            text = self._text
        progress = json.dumps(self._progress())
        if (text, progress) == self._saved:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        told = json.dumps({"start": self._start, "at": at, **json.loads(progress)}) + "\n"
        try:
            self._put(log_key(self._job_id, self._start), text, "text/plain; charset=utf-8")
            self._put(progress_key(self._job_id), told, "application/json")
        except StoreError as error:
            self._echo.write(f"the job's log can't be stored now: {error}\n")
        else:
            self._saved = text, progress

    def _put(self, key: str, text: str, content_type: str) -> None:
        data = text.encode("utf-8", "replace")
        self._store.put_bytes(key, data, content_type=content_type, overwrite=True)
