"""Writing an actor's share of a cut while the actor goes on computing.

The state is copied at once and stored by a thread of its own. At most one copy exists: a cut that
comes before the last one is stored waits for it. The finished latents no longer change and are
copied part by part as they are written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import NightreelError, StoreError
from pipeline.snapshot_store import put_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.sampler import SegmentSampler
    from pipeline.snapshot import StoredPart
    from pipeline.snapshot_part import Part
    from pipeline.stores import StoreFactory

# An actor that is asked for what is stored answers at least so often: one that says nothing for
# longer hangs, however slow the store is.
FLUSH_S = 5.0


@dataclass(frozen=True, slots=True)
class Saved:
    """One segment's share of one cut, as it came out of the writer.

    Attributes:
        step: the cut's.
        parts: what is in the store now; empty if there was an error.
        write_s: seconds from the copy to the last byte.
        error: why it could not be stored.
    """

    step: int
    parts: tuple[StoredPart, ...]
    write_s: float
    error: NightreelError | None = None


class SnapshotWriter:
    """Stores one video's cuts, one after another, in the background."""

    def __init__(self, open_store: StoreFactory, prefix: str) -> None:
        self._open_store, self._prefix = open_store, prefix
        self._thread: threading.Thread | None = None
        # Its ends are taken by two threads.
        self._saved: deque[Saved] = deque()

    def save(self, sampler: SegmentSampler) -> None:
        """Copy what the sampler owns now and store it while the caller goes on."""
        self.wait()
        is_last = sampler.step == sampler.plan.num_steps
        parts = sampler.parts() if is_last else list(sampler.parts())
        # Not a thread that a process waits for: a killed or closing actor must end at once.
        self._thread = threading.Thread(target=self._write, args=(sampler.step, parts), daemon=True)
        self._thread.start()

    def collect(self) -> tuple[Saved, ...]:
        """What was finished since the last call."""
        return tuple(self._saved.popleft() for _ in range(len(self._saved)))

    def wait(self, at_most_s: float | None = None) -> None:
        """Return when nothing is being written, or when the time is up."""
        if self._thread is not None:
            self._thread.join(at_most_s)
            if not self._thread.is_alive():
                self._thread = None

    def _write(self, step: int, parts: Iterable[Part]) -> None:
        started_s = time.perf_counter()
        stored, error = [], None
        try:
            store = self._open_store()
            stored = [put_part(store, self._prefix, part) for part in parts]
        except NightreelError as refused:
            error = refused
        except Exception as unforeseen:  # noqa: BLE001  # a thread has nobody to raise it to
            error = StoreError(f"{type(unforeseen).__name__}: {unforeseen}")
        kept = () if error else tuple(stored)
        self._saved.append(Saved(step, kept, time.perf_counter() - started_s, error))
