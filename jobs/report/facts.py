"""What the page tells of one film, taken from its sidecar.

A sidecar is an object in a store that others may write to, or of another release: whatever is not
there, or not of the expected kind, is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from jobs.report.command import command_of
from pipeline.quality.gate import JUDGED_SEAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.request import PromptEvent

# Enough to read and to search; a manifest may hold megabytes.
MAX_PROMPT_CHARS: Final = 4_000
MAX_PROMPTS: Final = 100
MAX_TEXT_CHARS: Final = 1_000
MAX_POINTS: Final = 24
DIGITS: Final = 4

Facts = dict[str, Any]

_REQUEST: Final = (
    *("seed", "num_inference_steps", "guidance_scale", "guidance_scale_2"),
    *("flow_shift", "engine_fps"),
)
_HEALTH: Final = (
    *("black_share", "flat_share", "saturated_share", "frozen_share"),
    *("longest_frozen_s", "largest_jump", "largest_jump_s"),
)
_DRIFT: Final = ("lightness", "saturation", "contrast", "sharpness")
_TIMINGS: Final = (
    *("total_s", "sampling_s", "compute_s"),
    *("num_windows", "num_segments", "boundary_bytes"),
)


def facts_of(sidecar: object) -> Facts:
    """The page's share of a sidecar."""
    content = _section(sidecar)
    request, engine = _section(content.get("request")), _section(content.get("engine"))
    facts: Facts = {
        "prompts": _prompts(_list(content.get("prompts"))),
        "negative_prompt": short(request.get("negative_prompt"), MAX_PROMPT_CHARS),
        **_numbers(request, _REQUEST),
        "engine": short(engine.get("name")),
        "weights": short(engine.get("weights_digest")),
        "nightreel": short(content.get("nightreel")),
        "options": _texts(_section(content.get("options"))),
        "metadata": _texts(_section(request.get("metadata"))),
        "safe_settings": content.get("safe_settings") is True,
        "num_latent_frames": _number(content.get("num_latent_frames")),
        "codec": short(_section(content.get("video")).get("codec")),
        "timings": _numbers(_section(content.get("timings")), _TIMINGS),
        "quality": _quality(_section(content.get("quality"))),
        "command": command_of(content),
    }
    return filled(facts)


def prompts_of(prompt: str | None, events: Sequence[PromptEvent]) -> list[list[Any]]:
    """The prompts of a row, each with the second it begins at."""
    begins = [(0.0, prompt)] if prompt and not any(event.start_s == 0 for event in events) else []
    begins += [(event.start_s, event.prompt) for event in events]
    return [[_rounded(at), text[:MAX_PROMPT_CHARS]] for at, text in begins[:MAX_PROMPTS] if text]


def filled(facts: Facts) -> Facts:
    """Without what says nothing."""
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [], False)}


def short(value: object, limit: int = MAX_TEXT_CHARS) -> str | None:
    """Text of bounded length; nothing for what is no text."""
    return value[:limit] if isinstance(value, str) else None


def _prompts(found: list[Any]) -> list[list[Any]]:
    prompts = []
    for each in map(_section, found[:MAX_PROMPTS]):
        start_s, text = _number(each.get("start_s")), short(each.get("prompt"), MAX_PROMPT_CHARS)
        if start_s is not None and text:
            prompts.append([start_s, text])
    return prompts


def _quality(quality: Mapping[str, Any]) -> Facts:
    """Joins as ratio and interval, health as shares, drift as first against last."""
    seams, drift = _section(quality.get("seams")), _section(quality.get("drift"))
    effects = {name: _effect(_section(seams.get(name))) for name in JUDGED_SEAMS}
    changes = {name: _number(_section(drift.get(name)).get("first_to_last")) for name in _DRIFT} | {
        "color": _number(drift.get("color_distance"))
    }
    return filled(
        {
            "num_joins": _number(quality.get("num_joins")),
            "joins": filled(effects),
            "health": _numbers(_section(quality.get("health")), _HEALTH),
            "drift": {name: value for name, value in changes.items() if value is not None},
            "likeness": _points(_list(drift.get("correlation"))),
        }
    )


def _effect(effect: Mapping[str, Any]) -> list[float | int]:
    ends = [_number(effect.get(name)) for name in ("ratio", "low", "high")]
    known = [end for end in ends if end is not None and end > 0]
    return known if len(known) == len(ends) else []


def _points(curve: list[Any]) -> list[list[float | int]]:
    """Pairs of numbers, thinned out evenly."""
    points = []
    for each in curve[:: max(1, math.ceil(len(curve) / MAX_POINTS))]:
        pair = [_number(value) for value in _list(each)]
        numbers = [value for value in pair if value is not None]
        if len(pair) == len(numbers) == 2:
            points.append(numbers)
    return points


def _numbers(section: Mapping[str, Any], names: Iterable[str]) -> dict[str, float | int]:
    found = {name: _number(section.get(name)) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _texts(section: Mapping[str, Any]) -> dict[str, str]:
    """Plain values as text, under names of bounded length."""
    plain = {name: value for name, value in list(section.items())[:64] if value is not None}
    return {name[:100]: str(value)[:MAX_TEXT_CHARS] for name, value in plain.items()}


def _number(value: object) -> float | int | None:
    """A finite number; seeds and sizes stay whole, figures keep so many digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return _rounded(value)


def _rounded(value: float) -> float | int:
    if isinstance(value, int):
        return value
    return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else round(value)


def _section(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
