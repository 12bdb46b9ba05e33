"""Room on the local disk for one unfinished video; what a killed process left is swept away.

A folder belongs to whoever holds the lock on a file in it. The kernel lets go of the lock when the
process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "nightreel-scratch-"
_LOCK = "lock"


class ScratchFolder:
    """A folder that is there until ``remove``, or until the process has ended and another begins.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = (self.path / _LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep() -> None:
    """Remove the folders of processes that are gone."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
