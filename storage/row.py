"""One manifest row: plain values in, a checked VideoSpec out.

What only the engine or the job can judge (sizes, frame rates, an events' start beyond a default
duration) is left to ``pipeline.request.resolve``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pipeline.errors import RequestError
from pipeline.request import MAX_SEED, PromptEvent, VideoSpec
from storage.columns import COLUMNS, advice, is_ignored
from storage.values import (
    BadValueError,
    Unreadable,
    read_id,
    read_metadata,
    read_number,
    read_text,
    read_time,
    read_whole,
    type_name,
)

MAX_PROMPT_LENGTH: Final = 10_000
MAX_IMAGE_LENGTH: Final = 2_048
MAX_EVENTS: Final = 1_000
# Bounds that no request can mean, so that one row can't ask for a whole cluster's year.
MAX_DURATION_S: Final = 86_400.0
MAX_FRAMES: Final = 10_000_000
MAX_SIZE_PX: Final = 16_384
MAX_FPS: Final = 1_000.0
MAX_STEPS: Final = 1_000
MAX_GUIDANCE: Final = 1_000.0
MAX_PRIORITY: Final = 1_000_000


def read_row(values: Mapping[str, object]) -> VideoSpec:
    """Check a row and make it a VideoSpec.

    Args:
        values: by column; ``None`` and a missing column mean the same.

    Raises:
        RequestError: of the first column at fault; its reason names the other ones.
    """
    found: dict[str, Any] = {}
    errors = [
        RequestError(name, value, advice(name))
        for name, value in values.items()
        if name not in COLUMNS and value is not None and not is_ignored(name)
    ]
    for name, reader in _READERS.items():
        value = values.get(name)
        if value is None:
            continue
        try:
            found[name] = reader(value)
        except BadValueError as error:
            errors.append(RequestError(name, value, str(error)))
    wrong = {error.column for error in errors}
    if wrong & {"prompt", "events"}:
        wrong |= {"prompt", "events"}
    errors += [error for error in _disagreements(found, values) if error.column not in wrong]
    if errors:
        raise _joined(errors)
    if not found.get("prompt", "").strip():
        found.pop("prompt", None)
    return VideoSpec(**found)


def _joined(errors: list[RequestError]) -> RequestError:
    order = list(COLUMNS)
    errors.sort(key=lambda e: order.index(e.column) if e.column in order else len(order))
    first = errors[0]
    others = ", ".join(error.column for error in errors[1:6])
    reason = f"{first.reason}; also wrong: {others}" if others else first.reason
    return RequestError(first.column, first.value, reason)


def _disagreements(found: Mapping[str, Any], values: Mapping[str, object]) -> list[RequestError]:
    """What is wrong with values that are each fine by themselves."""
    events: tuple[PromptEvent, ...] = found.get("events", ())
    errors = []
    if "id" not in found:
        errors.append(RequestError("id", values.get("id"), "missing, every row needs an id"))
    if not found.get("prompt", "").strip() and not events:
        reason = "a prompt or events are required"
        errors.append(RequestError("prompt", values.get("prompt"), reason))
    elif events and not found.get("prompt", "").strip() and events[0].start_s > 0:
        reason = "without a prompt the first event must start at 0"
        errors.append(RequestError("events", events[0].start_s, reason))
    if "duration_s" in found and "num_frames" in found:
        reason = f"give duration_s or num_frames ({found['num_frames']}), not both"
        errors.append(RequestError("duration_s", found["duration_s"], reason))
    length_s = _length_s(found)
    if length_s is not None and events and events[-1].start_s >= length_s:
        reason = f"an event starts at {events[-1].start_s:g} s, the video ends at {length_s:g} s"
        errors.append(RequestError("events", events[-1].start_s, reason))
    return errors


def _length_s(found: Mapping[str, Any]) -> float | None:
    """The video's length as far as the row alone tells it."""
    if "duration_s" in found:
        return float(found["duration_s"])
    if "num_frames" in found and "fps" in found:
        return float(found["num_frames"] / found["fps"])
    return None


def _events(value: object) -> tuple[PromptEvent, ...]:
    if isinstance(value, Unreadable):
        raise BadValueError(value.reason)
    if not isinstance(value, list):
        raise BadValueError(f"expected a list of {{start_s, prompt}}, got {type_name(value)}")
    if len(value) > MAX_EVENTS:
        raise BadValueError(f"{len(value)} events, expected at most {MAX_EVENTS}")
    events = tuple(_event(item, number) for number, item in enumerate(value, 1))
    for before, after in itertools.pairwise(events):
        if after.start_s <= before.start_s:
            raise BadValueError(
                f"event at {after.start_s:g} s follows one at {before.start_s:g} s, "
                "expected rising start times"
            )
    return events


def _event(item: object, number: int) -> PromptEvent:
    if not isinstance(item, Mapping) or set(item) != {"start_s", "prompt"}:
        got = sorted(map(str, item)) if isinstance(item, Mapping) else type_name(item)
        raise BadValueError(f"event {number}: expected start_s and prompt, got {got}")
    try:
        return PromptEvent(
            start_s=read_number(item["start_s"], 0.0, MAX_DURATION_S),
            prompt=read_text(item["prompt"], MAX_PROMPT_LENGTH),
        )
    except BadValueError as error:
        raise BadValueError(f"event {number}: {error}") from error


_prompt = partial(read_text, max_length=MAX_PROMPT_LENGTH, blank=True)
_size = partial(read_whole, low=1, high=MAX_SIZE_PX)

_READERS: Final[dict[str, Callable[[object], object]]] = {
    "id": read_id,
    "prompt": _prompt,
    "events": _events,
    "negative_prompt": _prompt,
    "seed": partial(read_whole, low=0, high=MAX_SEED),
    "duration_s": partial(read_number, low=0.0, high=MAX_DURATION_S, above=True),
    "num_frames": partial(read_whole, low=1, high=MAX_FRAMES),
    "width": _size,
    "height": _size,
    "fps": partial(read_number, low=0.0, high=MAX_FPS, above=True),
    "num_inference_steps": partial(read_whole, low=1, high=MAX_STEPS),
    "guidance_scale": partial(read_number, low=0.0, high=MAX_GUIDANCE),
    "guidance_scale_2": partial(read_number, low=0.0, high=MAX_GUIDANCE),
    "image": partial(read_text, max_length=MAX_IMAGE_LENGTH),
    "priority": partial(read_whole, low=-MAX_PRIORITY, high=MAX_PRIORITY),
    "deadline": read_time,
    "metadata": read_metadata,
}
assert set(_READERS) == set(COLUMNS)
