"""One running ffmpeg that is fed through its standard input.

Owns the process and nothing else: what is asked of ffmpeg is ``ffmpeg_command``'s business. The
pipe is the back-pressure: ``send`` returns when ffmpeg has taken the bytes, so nothing piles up
here. What ffmpeg says is drained by a thread and kept up to a bound, so that a talkative ffmpeg
never blocks.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
from collections import deque
from functools import cache
from typing import IO, TYPE_CHECKING

import imageio_ffmpeg

from pipeline.errors import EncodeError, StoreFullError

if TYPE_CHECKING:
    from collections.abc import Sequence

# ffmpeg takes a pipeful in milliseconds; minutes of silence mean that it is stuck.
STALL_TIMEOUT_S = 300.0
# Between the last frame and the end lie the encoder's lookahead and, with faststart, a rewrite of
# the whole file.
FINISH_TIMEOUT_S = 900.0
# A killed process is gone at once, unless the kernel holds it in a dead file system.
REAP_TIMEOUT_S = 30.0

# What ffmpeg said first is often the cause, what it said last the consequence: keep both.
KEPT_HEAD_LINES = 8
KEPT_TAIL_LINES = 12
MAX_LINE_BYTES = 400

_DISK_FULL = ("No space left on device", "Disk quota exceeded", "File too large")


def ffmpeg_executable() -> str:
    """Path of the ffmpeg binary that imageio-ffmpeg carries.

    Raises:
        EncodeError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise EncodeError(f"no ffmpeg: reinstall imageio-ffmpeg ({error})") from error


@cache
def available_encoders(executable: str) -> tuple[str, ...]:
    """Names of the video encoders that were built into an ffmpeg binary."""
    answer = subprocess.run(  # noqa: S603 - our own binary, no shell
        [executable, "-hide_banner", "-encoders"],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=REAP_TIMEOUT_S,
    )
    return tuple(re.findall(r"^ V[A-Z.]{5} (\S+)", answer.stdout, flags=re.MULTILINE))


class FfmpegProcess:
    """An ffmpeg that has been started and awaits bytes on its standard input."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        finish_timeout_s: float = FINISH_TIMEOUT_S,
    ) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._finish_timeout_s = finish_timeout_s
        self._executable = command[0]
        # In its own process group, Ctrl-C reaches only us, and we decide what becomes of the file.
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._words = _Words(self._process.stderr)

    @property
    def pid(self) -> int:
        """Process id, for tests and for logs."""
        return self._process.pid

    def send(self, data: memoryview) -> None:
        """Hand over bytes; returns when ffmpeg has taken them all.

        Raises:
            EncodeError: ffmpeg died, or took nothing for ``stall_timeout_s``.
            StoreFullError: it died because the disk is full.
        """
        descriptor = self._stdin.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        sent = 0
        while sent < len(data):
            if not poller.poll(self._stall_timeout_s * 1000):
                raise self._stuck(f"took no frame for {self._stall_timeout_s:g} s")
            try:
                sent += os.write(descriptor, data[sent:])
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._failure(self._reap(REAP_TIMEOUT_S)) from None

    def finish(self) -> None:
        """Say that there is no more, and wait until the file is complete.

        Raises:
            EncodeError: ffmpeg failed, or did not end within ``finish_timeout_s``.
            StoreFullError: it failed because the disk is full.
        """
        self._stdin.close()
        try:
            code = self._process.wait(self._finish_timeout_s)
        except subprocess.TimeoutExpired:
            raise self._stuck(f"did not end within {self._finish_timeout_s:g} s") from None
        if code != 0:
            raise self._failure(code)
        self._release()

    def kill(self) -> None:
        """End the process if it still runs, and leave nothing of it behind."""
        self._reap(0.0)

    def _reap(self, patience_s: float) -> int | None:
        """The exit code, after killing the process if it outlasts ``patience_s``."""
        self._stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_TIMEOUT_S)
        self._release()
        return self._process.returncode

    def _release(self) -> None:
        self._words.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _stuck(self, what: str) -> EncodeError:
        self._reap(0.0)
        return EncodeError(f"ffmpeg {what} and was ended{self._words.quoted()}")

    def _failure(self, code: int | None) -> EncodeError | StoreFullError:
        self._reap(0.0)
        said = self._words.quoted()
        if code == -signal.SIGXFSZ or any(sign in said for sign in _DISK_FULL):
            return StoreFullError(f"ffmpeg found no space left for its file{said}")
        if "Unknown encoder" in said:
            known = ", ".join(available_encoders(self._executable))
            return EncodeError(f"this ffmpeg lacks the encoder; it has: {known}{said}")
        return EncodeError(f"ffmpeg {_ending(code)}{said}")


def _ending(code: int | None) -> str:
    if code is None:
        return "can't be ended"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


class _Words:
    """Drains what ffmpeg says on standard error and keeps its first and last lines."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque(maxlen=KEPT_TAIL_LINES)
        self._thread = threading.Thread(target=self._drain, name="ffmpeg-stderr", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while line := self._stream.readline(MAX_LINE_BYTES):
            if len(self._head) < KEPT_HEAD_LINES:
                self._head.append(line)
            else:
                self._tail.append(line)

    def join(self) -> None:
        self._thread.join(REAP_TIMEOUT_S)

    def quoted(self) -> str:
        lines = [line.decode(errors="replace").strip() for line in (*self._head, *self._tail)]
        text = "\n".join(f"  {line}" for line in lines if line)
        return f"; it said:\n{text}" if text else "; it said nothing"
