"""``nightreel inspect``: finds videos and their joins, and measures them.

A video is a file, a folder (``videos/<id>`` or a whole output folder) or an S3 URI of either. What
lies in S3 is copied to a temporary folder first, with its sidecar.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from jobs.sidecar_joins import joins_from
from pipeline.errors import ConfigError, VideoFileError
from pipeline.quality.frames import count_frames
from pipeline.quality.joins import Joins, joins_at
from pipeline.quality.measure import (
    SEAM_MEASURES,
    Seams,
    VideoQuality,
    as_plain,
    assess,
    pooled,
    trace_file,
)
from storage.location import parse_location
from storage.open import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.quality.curves import Curves
    from pipeline.quality.effect import Effect
    from storage.connection import S3Options

SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinOptions:
    """Where windows meet in videos that have no sidecar; what is given here counts before one.

    Attributes:
        joins: first frame after each join.
        window_frames: a join every so many frames, where ``joins`` is empty; 0: none.
        rhythm_frames: frames per latent frame of the model that made the video.
    """

    joins: tuple[int, ...] = ()
    window_frames: int = 0
    rhythm_frames: int = 4

    def __post_init__(self) -> None:
        if any(frame < 1 for frame in self.joins):
            raise ConfigError(
                f"--joins {','.join(map(str, self.joins))}: expected frames from 1 on"
            )
        if self.window_frames < 0:
            raise ConfigError(f"--window {self.window_frames}: expected a number of frames")
        if self.rhythm_frames < 1:
            raise ConfigError(f"--rhythm {self.rhythm_frames}: expected at least 1 frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """One video with everything that was found.

    Attributes:
        name: what to call it: as given, or its place below the folder that was given.
        joins_from: who said where windows meet, in a few words.
        joins: where they meet.
        curves: per frame.
        quality: the figures.
    """

    name: str
    joins_from: str
    joins: Joins
    curves: Curves
    quality: VideoQuality


def join_frames(text: str) -> tuple[int, ...]:
    """Frames as they are written on the command line: ``81,162,243``.

    Raises:
        ConfigError: not a list of whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(f"--joins {text}: expected whole numbers, such as 81,162,243") from error


def inspect_videos(
    places: Sequence[str], options: JoinOptions, s3: S3Options | None = None
) -> list[Inspected]:
    """Measure every video at these places, in order.

    Args:
        places: paths and URIs.
        options: where windows meet, where no sidecar says it.
        s3: how to reach S3; ``None``: as boto3 finds it.

    Raises:
        VideoFileError: nothing there, or not a video that can be measured.
        StoreError: S3 can't be read.
    """
    found = []
    for place in places:
        with _local(place, s3) as root:
            found += [_inspected(path, _name(place, root, path), options) for path in _videos(root)]
    return found


def as_json(videos: Sequence[Inspected]) -> dict[str, Any]:
    """Plain values for JSON; what is unknown or unbounded is ``null``."""
    return {
        "videos": [
            {"video": video.name, "joins_from": video.joins_from, **as_plain(video.quality)}
            for video in videos
        ],
        "pooled": as_plain(pool(videos)) if len(videos) > 1 else None,
    }


def pool(videos: Sequence[Inspected]) -> Seams:
    """Seams over all videos that have joins."""
    return pooled([video.quality for video in videos])


def effect_rows(seams: Seams) -> list[tuple[str, Effect]]:
    """The measures that are known, with their names as people read them."""
    named = [(name, seams.effects[name]) for name in SEAM_MEASURES]
    return [(LABELS[name], effect) for name, effect in named if effect is not None]


LABELS = {
    "frame_difference": "frame difference (D1)",
    "second_difference": "second difference (D2)",
    "detail": "detail (E)",
    "warp_error": "warp error",
    "periodicity": "periodicity (FOLD)",
}


def _inspected(path: Path, name: str, options: JoinOptions) -> Inspected:
    said_by, joins = _joins(path, options)
    curves = trace_file(path, joins)
    return Inspected(
        name=name,
        joins_from=said_by,
        joins=joins,
        curves=curves,
        quality=assess(curves, joins),
    )


def _joins(path: Path, options: JoinOptions) -> tuple[str, Joins]:
    """Who says where the joins are, and where they are."""
    if options.joins:
        places = sorted(set(options.joins))
        return "--joins", _joins_at(places, path, options)
    if options.window_frames:
        every = range(options.window_frames, count_frames(path), options.window_frames)
        return "--window", _joins_at(list(every), path, options)
    sidecar = path.with_suffix(".json")
    if sidecar.is_file():
        found = joins_from(sidecar.read_bytes(), str(sidecar))
        return f"sidecar, {found.mode}", found.joins
    return "unknown: no sidecar, no --joins", Joins()


def _joins_at(frames: list[int], path: Path, options: JoinOptions) -> Joins:
    return joins_at([(frame,) for frame in frames], count_frames(path), options.rhythm_frames)


@contextmanager
def _local(place: str, s3: S3Options | None) -> Iterator[Path]:
    """The place on this machine; copied there for as long as needed if it is in S3."""
    location = parse_location(place)
    if location.scheme == "file":
        yield Path(location.path)
        return
    uri = PurePosixPath(location.path)
    is_video = uri.suffix.lower() in SUFFIXES
    folder = str(uri.parent) if is_video else location.path
    store = open_store(f"s3://{location.bucket}/{folder.removeprefix('.')}", s3=s3)
    with tempfile.TemporaryDirectory(prefix="nightreel-inspect-") as scratch:
        wanted = uri.stem if is_video else ""
        for key in store.list_keys(wanted):
            if PurePosixPath(key).suffix.lower() in SUFFIXES | {".json"} and not _is_other(key):
                path = Path(scratch) / key
                path.parent.mkdir(parents=True, exist_ok=True)
                store.get_file(key, path)
        yield Path(scratch) / uri.name if is_video else Path(scratch)


def _is_other(key: str) -> bool:
    """Whether a key below an output URI is of the ledger or of a video in the making."""
    return key.startswith(("ledger/", "checkpoints/"))


def _videos(root: Path) -> list[Path]:
    """The file itself, or every video in the folder."""
    if not root.is_dir():
        return [root]
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise VideoFileError(f"{root}: no videos in this folder")
    return found


def _name(place: str, root: Path, path: Path) -> str:
    if path == root:
        return place
    parts = path.relative_to(root).parts
    return "/".join(parts[1:] if parts[0] == "videos" else parts)
