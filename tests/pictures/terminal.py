"""A command in a terminal of its own, and what stands in it now, as a picture."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COLUMNS, ROWS = 112, 32
# What moves the cursor or clears a line; colours stay in the text.
_CONTROL = re.compile(r"\r|\n|\x1b\[(\d*)([ABKJ])|\x1b\[\?\d+[hl]")


class Terminal:
    """A command that believes to be watched. Use as a context manager; it is ended at the end."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        more = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self.process = subprocess.Popen(
            list(words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**environment, **more},
        )
        os.close(theirs)
        self._ours, self._said = ours, bytearray()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._thread.join(30)
        os.close(self._ours)

    def lines(self) -> list[str]:
        """What stands on the screen, with its colours."""
        return screen(bytes(self._said).decode("utf-8", "replace"))

    def drawing(self, title: str) -> str:
        """The screen as SVG."""
        console = Console(
            file=io.StringIO(),
            record=True,
            width=COLUMNS,
            force_terminal=True,
            legacy_windows=False,
        )
        for line in self.lines():
            console.print(Text.from_ansi(line), no_wrap=True, crop=True)
        return console.export_svg(title=title)

    def _listen(self) -> None:
        while True:
            try:
                heard = os.read(self._ours, 65536)
            except OSError:  # the other end is closed
                return
            if not heard:
                return
            self._said += heard


def screen(said: str) -> list[str]:
    """The lines that a program leaves which rewrites whole lines, as ``rich`` does."""
    lines, row, place = [""], 0, 0
    for found in _CONTROL.finditer(said):
        lines[row] += said[place : found.start()]
        place = found.end()
        count, what = int(found[1] or 1) if found[1] is not None else 1, found[2]
        if found[0] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif what == "A":
            row = max(0, row - count)
        elif what == "K":
            lines[row] = ""
    lines[row] += said[place:]
    return [line.rstrip() for line in lines]
