"""Prompts over time: a global prompt, and events that change what the video shows.

A window is conditioned on what its own time asks for. Around an event the embeddings of the two
prompts are mixed along a smoothstep of ``transition_s`` seconds centred on the event's start.

Shape suffixes: S text tokens, D text width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from pipeline.request import PromptEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions:
    """``transition_s``: seconds that a change of prompt takes; 0 is a hard cut."""

    transition_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.transition_s < 3600.0:
            raise ConfigError(
                f"prompts.transition_s = {self.transition_s}: expected 0 to 3600 seconds"
            )


@dataclass(frozen=True, slots=True)
class PromptTimeline:
    """What is asked for at any time.

    Attributes:
        starts_s: when each prompt begins; the first is 0.
        prompts: the full text in force from then on, global prompt included.
        transition_s: length of the eased change around each start but the first.
    """

    starts_s: tuple[float, ...]
    prompts: tuple[str, ...]
    transition_s: float

    def mixture(self, time_s: float) -> tuple[tuple[str, float], ...]:
        """The prompts in force at ``time_s`` with their shares, which add up to 1."""
        shares = dict.fromkeys(self.prompts, 0.0)
        remaining = 1.0
        for start_s, prompt in reversed(list(zip(self.starts_s, self.prompts, strict=True))):
            arrived = 1.0 if start_s <= 0.0 else self._eased(time_s - start_s)
            shares[prompt] += remaining * arrived
            remaining *= 1.0 - arrived
        return tuple((prompt, share) for prompt, share in shares.items() if share > 0.0)

    def _eased(self, since_start_s: float) -> float:
        """Smoothstep from 0 to 1 over the transition, 1/2 at the event itself."""
        if self.transition_s == 0.0:
            return 1.0 if since_start_s >= 0.0 else 0.0
        u = min(1.0, max(0.0, since_start_s / self.transition_s + 0.5))
        return u * u * (3.0 - 2.0 * u)


def timeline(prompt: str, events: Sequence[PromptEvent], options: PromptOptions) -> PromptTimeline:
    """Lay prompt and events out in time: each event's text follows the global prompt's.

    Before the first event the global prompt stands alone; if there is none, the first event
    holds from the start.
    """
    prompt = prompt.strip()
    starts_s: list[float] = []
    texts: list[str] = []
    if not events or events[0].start_s > 0.0:
        starts_s.append(0.0)
        texts.append(prompt or events[0].prompt)
    for event in events:
        starts_s.append(max(0.0, event.start_s))
        texts.append(f"{prompt.rstrip('.')}. {event.prompt}" if prompt else event.prompt)
    return PromptTimeline(tuple(starts_s), tuple(texts), options.transition_s)


def mix(shares: Sequence[tuple[str, float]], embeds: Mapping[str, Tensor]) -> Tensor:
    """The ``prompt_embeds`` ``[S, D]`` of a mixture; a single prompt's come back untouched."""
    (prompt, share), *others = shares
    if not others:
        return embeds[prompt]
    mixed_SD = embeds[prompt] * share
    for other, other_share in others:
        mixed_SD = mixed_SD + embeds[other] * other_share
    return mixed_SD
