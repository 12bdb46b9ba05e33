"""``nightreel`` as a person starts it, in a process of its own, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Generous: a machine may be busy with other things.
TIMEOUT_S = 200.0
# What outlives the program by more than this was left behind.
GRACE_S = 10.0
MARK = "NIGHTREEL_TEST_MARK"


class Program:
    """One run of ``nightreel``; its processes bear a mark, its temporary files have a folder."""

    def __init__(self, scratch: Path, *arguments: str) -> None:
        self.mark = uuid.uuid4().hex
        self.scratch = scratch
        scratch.mkdir(exist_ok=True)
        # Unix sockets want a short path, which a test's own folder is not.
        self._ray_folder = tempfile.TemporaryDirectory(prefix="nr-", ignore_cleanup_errors=True)
        self._said = scratch.with_name(f"{scratch.name}.{self.mark}.log")
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("nightreel"), *arguments],
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ
                | {
                    MARK: self.mark,
                    "TMPDIR": str(scratch),
                    "RAY_TMPDIR": self._ray_folder.name,
                    "RAY_prestart_worker_first_driver": "0",
                },
            )

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def started_ray(self) -> bool:
        return any(Path(self._ray_folder.name).iterdir())

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + TIMEOUT_S
        while not condition():
            if self.has_ended and not condition():
                pytest.fail(f"ended with {self.process.returncode} before {what}:\n{self.said}")
            if time.monotonic() > end_s:
                pytest.fail(f"no {what} within {TIMEOUT_S:g} s:\n{self.said}")
            time.sleep(0.05)

    def press_ctrl_c(self) -> None:
        """As a terminal does it: to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def leftovers(self) -> list[str]:
        """Processes that still run after a moment's grace, and temporary files."""
        end_s = time.monotonic() + GRACE_S
        while (alive := self._alive()) and time.monotonic() < end_s:
            time.sleep(0.1)
        return [process.name() for process in alive] + self._files()

    def _files(self) -> list[str]:
        return [str(path.relative_to(self.scratch)) for path in self.scratch.rglob("*")]

    def _alive(self) -> list[psutil.Process]:
        alive = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    alive.append(process)
        return alive

    def end(self) -> None:
        for process in self._alive():
            with suppress(psutil.Error):
                process.kill()
        self.process.wait(TIMEOUT_S)
        self._ray_folder.cleanup()


@contextmanager
def program(scratch: Path, *arguments: str) -> Iterator[Program]:
    """Start it; nothing of it survives the block."""
    running = Program(scratch, *arguments)
    try:
        yield running
    finally:
        running.end()
