"""Ctrl-C and SIGTERM while Ray starts: held back for a moment if need be, never lost.

Ray forks as it starts, and Python drops an exception that a signal raises within a fork's hooks: a
Ctrl-C would be ignored and the night's work begun. Also, ``ray.init`` puts a handler of its own in
place of the program's answer to SIGTERM.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def none_lost(*, forks: bool) -> Iterator[None]:
    """Answer signals that arrive within the block with the program's own handlers.

    Args:
        forks: whether processes are started in the block. Ctrl-C then waits until it is left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _HELD}
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        # The kernel's side of every signal is noted here, whatever Python makes of it.
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if forks:
            signal.signal(signal.SIGINT, _nothing)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            arrived = b""
            with suppress(BlockingIOError):
                arrived = reader.recv(4096)
            for number in _HELD if forks else (signal.SIGTERM,):
                if number in arrived:
                    signal.raise_signal(number)


def _nothing(signum: int, frame: FrameType | None) -> None:
    del signum, frame
