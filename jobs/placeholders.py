"""Placeholders in a schedule's manifest and output, filled in for each run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

PLACEHOLDERS: Final = {
    "date": "the day of the run, 2026-11-27, in the schedule's time zone",
    "year": "2026",
    "month": "11",
    "day": "27",
    "time": "0100",
    "schedule": "the schedule's name",
    "run_id": "the id of the job",
}
_BRACED: Final = re.compile(r"\{([^{}]*)\}")


def check(template: str, option: str) -> None:
    """Refuse a placeholder that nothing would fill in.

    Args:
        template: such as ``s3://bucket/prompts/{date}/*.parquet``.
        option: where it was given, for the message.

    Raises:
        ConfigError: naming the placeholder and those that there are.
    """
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    for name in _BRACED.findall(template):
        if name not in PLACEHOLDERS:
            raise ConfigError(
                f"{option} {template!r}: no placeholder {{{name}}}; there are {known}"
            )
    if re.search(r"[{}]", _BRACED.sub("", template)):
        raise ConfigError(f"{option} {template!r}: a brace without its other; there are {known}")


def fill(template: str, *, nominal: datetime, schedule: str, run_id: str) -> str:
    """The template for one run; ``nominal`` is in the schedule's time zone."""
    values = {
        "date": nominal.date().isoformat(),
        "year": f"{nominal.year:04d}",
        "month": f"{nominal.month:02d}",
        "day": f"{nominal.day:02d}",
        "time": f"{nominal.hour:02d}{nominal.minute:02d}",
        "schedule": schedule,
        "run_id": run_id,
    }
    return _BRACED.sub(lambda found: values[found[1]], template)
