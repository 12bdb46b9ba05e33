"""An engine's files on the node where it is loaded: fetched, and laid out as a diffusers folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engines.wan.assembly import LoraFile, Sources, assemble
from storage.connection import S3Options
from storage.location import HUB, parse_location
from storage.weights_cache import WeightsCache, locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.engines.registry import EngineOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFiles:
    """A ``pipeline.engines.registry.EngineSource`` for weights wherever they are.

    Relative paths are made absolute at once, where the user is, not where a worker runs.

    Attributes:
        options: the engine as it was configured.
        s3: how to reach S3.
        size: pixels (width, height) of most videos; ``None``: the engine's own.

    Raises:
        ConfigError: a URI can't be understood.
    """

    options: EngineOptions
    s3: S3Options = field(default_factory=S3Options)
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        options = self.options
        loras = [replace(lora, path=_absolute(lora.path)) for lora in options.loras]
        absolute = replace(
            options,
            weights=_absolute(options.weights),
            weights_2=_absolute(options.weights_2),
            base=_absolute(options.base),
            loras=loras,
        )
        object.__setattr__(self, "options", absolute)

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.options.name

    def local(self) -> EngineOptions:
        """Options with one diffusers folder on this machine; see ``EngineSource.local``."""
        options = self.options
        if options.name == "gaussian" or not (options.weights or options.loras):
            return options
        cache = WeightsCache(folder=Path(options.cache).expanduser(), s3=self.s3)
        sources = Sources(
            weights=cache.fetch(options.weights) if options.weights else options.folder,
            weights_2=cache.fetch(options.weights_2) if options.weights_2 else None,
            base=cache.fetch(options.base) if options.base else None,
            loras=tuple(
                LoraFile(path=cache.fetch(lora.path), scale=lora.scale, expert=lora.expert)
                for lora in options.loras
            ),
        )
        folder = sources.weights
        if not sources.is_diffusers_folder:
            folder = _assembled(sources, cache.folder / "assembled")
        return replace(options, weights=str(folder), weights_2="", base="", loras=[])


def _assembled(sources: Sources, parent: Path) -> Path:
    """Laid out once per node and state of the sources; links cost next to nothing."""
    state = json.dumps([str(sources), *_state_of(sources)])
    folder = parent / hashlib.blake2b(state.encode(), digest_size=10).hexdigest()
    with locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            unfinished = folder.with_suffix(".unfinished")
            with suppress(FileNotFoundError):
                shutil.rmtree(unfinished)
            assemble(sources, unfinished)
            unfinished.rename(folder)
    return folder


def _state_of(sources: Sources) -> Iterator[tuple[str, int, int]]:
    """Every file's name, size and time, so that a changed folder is laid out anew."""
    places = [sources.weights, sources.weights_2, sources.base, *(l.path for l in sources.loras)]
    for place in places:
        if place is not None:
            paths = [place] if place.is_file() else sorted(place.rglob("*"))
            for path in paths:
                if path.is_file():
                    stat = path.stat()
                    yield str(path), stat.st_size, stat.st_mtime_ns


def _absolute(uri: str) -> str:
    if not uri or uri.startswith(HUB):
        return uri
    location = parse_location(uri)
    return location.path if location.scheme == "file" else location.uri
