"""The command that makes a film again, from what its sidecar says of it."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from storage.keys import is_safe_id

if TYPE_CHECKING:
    from collections.abc import Mapping

# A longer one is not copied by anybody; the sidecar has all of it.
MAX_COMMAND_CHARS: Final = 4_000
_ROW: Final = (
    *("prompt", "events", "negative_prompt", "seed", "num_frames", "width", "height"),
    *("num_inference_steps", "guidance_scale", "guidance_scale_2"),
)
_KEY: Final = re.compile(r"[a-z0-9_.]+", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9_-]+", re.ASCII)


def command_of(sidecar: Mapping[str, Any]) -> str | None:
    """Two lines for a shell: one writes a manifest of one row, the other renders it.

    The same weights are assumed; the sidecar names them by their digest.

    Returns:
        ``None`` if the sidecar lacks what it takes, the video began with an image, which the
        command's reader may not have, or the command would be very long.
    """
    request, engine, options = (sidecar.get(name) for name in ("request", "engine", "options"))
    if not isinstance(request, dict) or not isinstance(engine, dict):
        return None
    if request.get("image") is not None:
        return None
    video_id, name = request.get("id"), engine.get("name")
    if not isinstance(video_id, str) or not is_safe_id(video_id):
        return None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    settings = _settings(name, request, options if isinstance(options, dict) else {})
    file = shlex.quote(f"{video_id}.jsonl")
    command = (
        f"printf '%s\\n' {shlex.quote(json.dumps(_row(video_id, request)))} > {file}\n"
        f"nightreel render {file} --output again {' '.join(map(shlex.quote, settings))}"
    )
    return command if len(command) <= MAX_COMMAND_CHARS else None


def _row(video_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest row that asks for the same request, whatever a job's defaults are."""
    row = {"id": video_id}
    row |= {name: request[name] for name in _ROW if request.get(name) not in (None, "", [])}
    if _is_retimed(request):
        row["fps"] = request["fps"]
    return row


def _settings(engine: str, request: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """The settings that a row can't say."""
    given = {"engine.name": engine, **options}
    if request.get("flow_shift") is not None:
        given["defaults.flow_shift"] = request["flow_shift"]
    if _is_retimed(request):
        given["defaults.retime"] = True
    return [f"{key}={_text(value)}" for key, value in given.items() if _KEY.fullmatch(key)]


def _is_retimed(request: Mapping[str, Any]) -> bool:
    return bool(request.get("fps") != request.get("engine_fps"))


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
