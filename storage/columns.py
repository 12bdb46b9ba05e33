"""The manifest's columns: their names, what each may hold, and what to say about any other name."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["id", "text", "whole number", "number", "time", "events", "metadata"]

COLUMNS: Final[dict[str, Kind]] = {
    "id": "id",
    "prompt": "text",
    "events": "events",
    "negative_prompt": "text",
    "seed": "whole number",
    "duration_s": "number",
    "num_frames": "whole number",
    "width": "whole number",
    "height": "whole number",
    "fps": "number",
    "num_inference_steps": "whole number",
    "guidance_scale": "number",
    "guidance_scale_2": "number",
    "image": "text",
    "priority": "whole number",
    "deadline": "time",
    "metadata": "metadata",
}

# ``x_`` marks the author's own columns; the other is what pandas adds for an index.
_IGNORED: Final = re.compile(r"x_.*|__index_level_\d+__", re.DOTALL)


def is_ignored(name: str) -> bool:
    """Whether a column is its author's own business and is not read."""
    return _IGNORED.fullmatch(name) is not None


def unknown(names: Iterable[str]) -> list[str]:
    """The names that are neither columns nor ignored."""
    return [name for name in names if name not in COLUMNS and not is_ignored(name)]


def advice(name: str) -> str:
    """What to do about an unknown column: an ignored typo would lose what its author wanted."""
    near = difflib.get_close_matches(name.strip().lower()[:64], COLUMNS, n=1, cutoff=0.6)
    meant = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown column; {meant}columns of your own begin with 'x_'"


def missing(names: Iterable[str]) -> str:
    """Which required column is missing, as a sentence; empty if none is."""
    present = set(names)
    got = ", ".join(sorted(repr(name) for name in present)[:20]) or "none"
    if "id" not in present:
        return f"no column 'id'; got {got}"
    if not present & {"prompt", "events"}:
        return f"neither a column 'prompt' nor 'events'; got {got}"
    return ""
