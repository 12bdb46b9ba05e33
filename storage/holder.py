"""Who holds a lease: a process, named so that others on the same machine can tell if it is gone.

Only the machine that a process runs on can know that it is gone for good. Elsewhere, and where
there is no ``/proc``, the answer is "can't tell", and a lease has to expire.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Fields of /proc/<pid>/stat after the command's closing bracket.
_STATE: Final = 0
_START: Final = 19
_ENDED: Final = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process.

    Attributes:
        host: the machine's name, for people.
        pid: the process's number there.
        machine: one boot of one machine and one space of process numbers in it; empty if unknown.
        started: when the process started, in the kernel's own ticks; empty if unknown.
    """

    host: str
    pid: int
    machine: str
    started: str

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"

    def is_gone(self) -> bool:
        """Whether the process has surely ended; false where that can't be told."""
        if not self.machine or not self.started or self.machine != _machine():
            return False
        now = _stat(self.pid)
        return now is None or now[_STATE] in _ENDED or now[_START] != self.started


def this_process() -> Holder:
    """The process that asks."""
    stat = _stat(os.getpid())
    return Holder(socket.gethostname(), os.getpid(), _machine(), stat[_START] if stat else "")


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot} {space}"


def _stat(pid: int) -> list[str] | None:
    with suppress(OSError):
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()
    return None
