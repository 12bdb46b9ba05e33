"""Peak memory and processor time of a process and of all that it starts, from ``/proc`` (Linux).

The kernel keeps a process's highest resident size itself (``VmHWM``), so that one is exact; its
parts are sampled. Resident memory has three parts:

    anonymous   the process's own: tensors, heaps, stacks (``RssAnon``)
    shared      shared memory that it has touched: Ray's object store, mapped into every process
                that uses it and counted in each (``RssShmem``)
    file        pages of libraries, which the kernel can drop at any time (``RssFile``)
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PROC = Path("/proc")

# Parts of the resident size are looked at this often, new processes are looked for less often.
SAMPLE_INTERVAL_S = 0.05
SAMPLES_PER_SEARCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One process's memory, in bytes: its highest resident size, and the parts of it."""

    peak: int
    anonymous: int
    shared: int
    file: int

    def at_most(self, other: Memory) -> Memory:
        """The higher of each."""
        return Memory(
            peak=max(self.peak, other.peak),
            anonymous=max(self.anonymous, other.anonymous),
            shared=max(self.shared, other.shared),
            file=max(self.file, other.file),
        )


@dataclass(slots=True)
class Process:
    """A process that was seen.

    Attributes:
        parent: process id of its parent when it was first seen.
        titles: its command line, at every search; Ray's workers change theirs.
        memory: the highest of each part so far.
        cpu_s: seconds of processor time so far, whatever else ran beside it.
    """

    pid: int
    parent: int
    titles: set[str]
    memory: Memory
    cpu_s: float = 0.0


class ProcessWatch:
    """Watches a process and its descendants from a thread. Use as a context manager."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._seen: dict[int, Process] = {}
        self._alive: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process-watch", daemon=True)

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
        self._thread.join()

    def processes(self) -> list[Process]:
        """Everything that was seen; complete when the block is left."""
        return list(self._seen.values())

    def _watch(self) -> None:
        sample = 0
        while not self._stop.is_set():
            if sample % SAMPLES_PER_SEARCH == 0:
                self._search()
            self._sample()
            sample += 1
            self._stop.wait(SAMPLE_INTERVAL_S)

    def _search(self) -> None:
        self._alive = descendants(self._root)
        for pid in self._alive:
            title = _title(pid)
            if title and pid in self._seen:
                self._seen[pid].titles.add(title)
            elif title and (memory := memory_of(pid)) is not None:
                self._seen[pid] = Process(pid, _parent(pid), {title}, memory)

    def _sample(self) -> None:
        for pid in self._alive & self._seen.keys():
            if (memory := memory_of(pid)) is not None:
                process = self._seen[pid]
                process.memory = process.memory.at_most(memory)
                process.cpu_s = max(process.cpu_s, cpu_s_of(pid))


def memory_of(pid: int) -> Memory | None:
    """A process's memory; ``None`` if it is gone or has none left."""
    fields = _status(pid)
    if "VmHWM" not in fields:
        return None
    return Memory(
        peak=_bytes(fields["VmHWM"]),
        anonymous=_bytes(fields["RssAnon"]),
        shared=_bytes(fields["RssShmem"]),
        file=_bytes(fields["RssFile"]),
    )


def descendants(pid: int) -> set[int]:
    """A process and all that descend from it, as of now."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(int(entry.name)), []).append(int(entry.name))
    found, queue = {pid}, [pid]
    while queue:
        for child in children.get(queue.pop(), ()):
            found.add(child)
            queue.append(child)
    return found


def cpu_s_of(pid: int) -> float:
    """Seconds of processor time that a process has had, user and kernel; 0 if it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of ``stat`` from the third on: the name before them may hold anything."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _status(pid: int) -> dict[str, str]:
    lines = (line.partition(":") for line in _read(pid, "status").splitlines())
    return {name: value.strip() for name, _, value in lines}


def _title(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ").strip()


def _bytes(text: str) -> int:
    number, unit = text.split()
    assert unit == "kB", f"got {text!r} from /proc"
    return int(number) * 1024


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
