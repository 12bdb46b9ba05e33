"""A configuration as ``KEY=VALUE`` alone, so that nothing of this machine is needed to read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobs.config import canonical, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.settings import JobConfig


def flat_settings(config: JobConfig) -> tuple[str, ...]:
    """What differs from a configuration in which nothing was set, as overrides.

    The cluster (``ray.*``) is left out: where a job runs is the dispatcher's to say.
    """
    usual = dict(_leaves(canonical(load_config())))
    return tuple(
        f"{key}={_text(value)}"
        for key, value in sorted(_leaves(canonical(config)))
        if value != usual[key] and not key.startswith("ray.")
    )


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object) -> str:
    """A value as an override has it: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
