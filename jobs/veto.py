"""A command of the operator's that may refuse a prompt before anything is computed for it.

It gets the row as one JSON object on standard input: ``id``, ``prompts`` (each with ``start_s``)
and ``negative_prompt``. Exit status 0 lets the row be rendered; 1 refuses it, and the first line
that the command printed is the reason. Anything else, such as a crash or no answer in time, refuses
it too: what could not be checked is not rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs.hooks import HookOptions, call, words_of
from jobs.progress_text import printable
from pipeline.errors import RequestError

if TYPE_CHECKING:
    from typing import Self

    from pipeline.request import VideoRequest

REFUSED: Final = 1
_MAX_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Veto:
    """The command, as its words."""

    words: tuple[str, ...]
    timeout_s: float

    @classmethod
    def of(cls, options: HookOptions) -> Self | None:
        """The command that the settings name; ``None`` if they name none."""
        words = words_of("hooks.veto", options.veto)
        return cls(tuple(words), options.timeout_s) if words else None

    def check(self, request: VideoRequest) -> None:
        """Ask about one row.

        Raises:
            RequestError: the command refused it, or did not answer as it should.
        """
        answer = call(self.words, facts_of(request), self.timeout_s)
        if answer.exit_code == 0:
            return
        if answer.exit_code == REFUSED:
            said = printable(answer.stdout.partition("\n")[0])[:_MAX_REASON]
            reason = f"refused by hooks.veto: {said or 'it gave no reason'}"
        else:
            trouble = answer.trouble or f"{self.words[0]}: exit status {answer.exit_code}"
            reason = f"not rendered, since hooks.veto gave no answer: {trouble}"
        raise RequestError("prompt", _first_prompt(request), reason)


def facts_of(request: VideoRequest) -> dict[str, object]:
    """What the command is told of a row."""
    prompts = [{"start_s": 0.0, "prompt": request.prompt}] if request.prompt else []
    prompts += [{"start_s": event.start_s, "prompt": event.prompt} for event in request.events]
    return {"id": request.id, "prompts": prompts, "negative_prompt": request.negative_prompt}


def _first_prompt(request: VideoRequest) -> str:
    return request.prompt or (request.events[0].prompt if request.events else "")
