"""Where windows meet in a finished video, read off its sidecar.

A sidecar holds all that the layout was a function of: boundary options, length, the engine's window
and the number of steps. So the layout is made again here, and the joins are the same as they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pipeline.boundary import BoundaryOptions
from pipeline.errors import VideoFileError
from pipeline.layout import lay_out
from pipeline.quality.joins import Joins, joins_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "boundary."


@dataclass(frozen=True, slots=True)
class SidecarJoins:
    """What a sidecar says of a video's joins: the boundary mode, and where they are."""

    mode: str
    joins: Joins


def joins_from(sidecar: bytes, where: str) -> SidecarJoins:
    """Read the joins off a sidecar.

    A video whose frames were repeated or dropped for another rate has lost the autoencoder's rhythm
    and can't be compared with itself: no joins are known of it.

    Raises:
        VideoFileError: not a sidecar of nightreel's.
    """
    try:
        content = json.loads(sidecar)
        return _read(content, _boundary(content["options"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VideoFileError(f"{where}: not the sidecar of a video: {error!r}") from error


def _boundary(options: Mapping[str, Any]) -> BoundaryOptions:
    """The options that were in force; those that were not keep their defaults."""
    names = [field.name for field in fields(BoundaryOptions)]
    return BoundaryOptions(**{n: options[PREFIX + n] for n in names if PREFIX + n in options})


def _read(content: Mapping[str, Any], boundary: BoundaryOptions) -> SidecarJoins:
    request, compression = content["request"], content["engine"]["temporal_compression"]
    if request["fps"] != request["engine_fps"]:
        return SidecarJoins(boundary.mode, Joins())
    num_steps = len(content["sigmas"]) - 1
    layout = lay_out(
        boundary,
        num_latent_frames=content["num_latent_frames"],
        window_latent_frames=content["engine"]["window_latent_frames"],
        temporal_compression=compression,
        num_steps=num_steps,
    )
    joins = joins_of(
        layout,
        num_steps=num_steps,
        temporal_compression=compression,
        num_frames=request["num_frames"],
    )
    return SidecarJoins(boundary.mode, joins)
