"""Commands of the operator's that are run when a job has come to an end, or is late.

A hook is words as one would type them, split as a shell splits them and run without a shell. It
gets the job's facts as one JSON object on standard input, and the main ones in ``NIGHTREEL_*``
variables. What a hook does is its own affair: if it fails or takes too long, that is logged, and
the job's outcome is what it was.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOG = logging.getLogger("nightreel.hooks")

HookEvent = Literal["finished", "failed", "late"]
# What of a hook's own words is kept.
MAX_SAID: Final = 2000
_PREFIX: Final = "NIGHTREEL_"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOptions:
    """Commands to be run; an empty one is none.

    Attributes:
        on_finished: the job has seen to every row; some may have failed.
        on_failed: the job as a whole could not go on.
        on_late: the job was stopped by the end of its window, with rows left to do.
        veto: asked about every row before it is rendered; see ``jobs.veto``.
        timeout_s: how long any of them may take.
    """

    on_finished: str = ""
    on_failed: str = ""
    on_late: str = ""
    veto: str = ""
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 86_400:
            raise ConfigError(f"hooks.timeout_s = {self.timeout_s}: expected 0 to 86400")
        for name in ("on_finished", "on_failed", "on_late", "veto"):
            words_of(f"hooks.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command came to.

    Attributes:
        exit_code: ``None`` if it took too long or could not be started.
        stdout: what it printed, as text, as much as is kept.
        trouble: what went wrong, in a sentence; empty if it ended by itself.
    """

    exit_code: int | None
    stdout: str = ""
    trouble: str = ""


def words_of(key: str, command: str) -> list[str]:
    """A command as its words.

    Raises:
        ConfigError: a quotation mark is left open.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"{key} = {command!r}: expected a command: {error}") from error


def call(words: Sequence[str], facts: Mapping[str, Any], timeout_s: float) -> Answer:
    """Run a command and wait for it; it and all that it started are ended when the time is up."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own words, and no shell
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | _variables(facts),
        )
    except OSError as error:
        return Answer(exit_code=None, trouble=f"{words[0]}: {error.strerror}")
    try:
        said, complained = process.communicate(json.dumps(dict(facts)).encode(), timeout_s)
    except subprocess.TimeoutExpired:
        return Answer(exit_code=None, trouble=f"{words[0]}: no answer in {timeout_s:g} s")
    finally:
        # Nothing that a hook began is left running, whatever ended the wait for it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.poll() is None:
            process.wait()
    if complained:
        LOG.info("%s says: %s", words[0], _text(complained))
    return Answer(exit_code=process.returncode, stdout=_text(said))


def run_hook(options: HookOptions, event: HookEvent, facts: Mapping[str, Any]) -> None:
    """Run the hook of an event, if there is one; never fails."""
    words = words_of(f"hooks.on_{event}", getattr(options, f"on_{event}"))
    if not words:
        return
    answer = call(words, {"event": event, **facts}, options.timeout_s)
    if answer.exit_code == 0:
        LOG.info("hooks.on_%s: done", event)
    else:
        trouble = answer.trouble or f"{words[0]}: exit status {answer.exit_code}"
        LOG.warning("hooks.on_%s: %s", event, trouble)


def _variables(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts that are single values; the others are for those who read JSON."""
    return {
        f"{_PREFIX}{name.upper()}": f"{value}".replace("\0", "")
        for name, value in facts.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }


def _text(data: bytes) -> str:
    return data[:MAX_SAID].decode("utf-8", "replace").strip()
