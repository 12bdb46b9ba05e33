"""The settings of the object store alone, for commands that render nothing.

They read ``store.*`` from the same files and overrides as a job does, and don't wait for Ray and
torch, which the whole configuration brings with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jobs.layers import ConfigLayer, file_layer, override_layer
from pipeline.errors import ConfigError
from storage.connection import S3Options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECTION = "store"


def load_store_options(*, files: Sequence[Path] = (), overrides: Sequence[str] = ()) -> S3Options:
    """How to reach S3, as files and overrides say; what files say of other things is left alone.

    Raises:
        ConfigError: an override of anything else, an unknown key or a value of the wrong type.
    """
    layers = [file_layer(path) for path in files]
    for override in overrides:
        layer = override_layer(override)
        if set(layer.values) != {SECTION}:
            raise ConfigError(f"{layer.origin}: this command reads {SECTION}.* only")
        layers.append(layer)
    merged = OmegaConf.structured(S3Options)
    for layer in layers:
        merged = _with(merged, layer) if SECTION in layer.values else merged
    options = OmegaConf.to_object(merged)
    assert isinstance(options, S3Options)
    return options


def store_options_of(settings: Sequence[str]) -> S3Options:
    """How to reach S3, as a queued job's settings say.

    Raises:
        ConfigError: an unknown key or a value of the wrong type: from another release.
    """
    return load_store_options(overrides=[s for s in settings if s.startswith(f"{SECTION}.")])


def _with(merged: DictConfig, layer: ConfigLayer) -> DictConfig:
    """What was set before, and on top the layer's store settings, known and of the right type."""
    values = layer.values[SECTION]
    if not isinstance(values, dict):
        raise ConfigError(f"{SECTION} = {values!r}: expected a section ({layer.origin})")
    try:
        found = OmegaConf.merge(merged, values)
    except OmegaConfBaseException as error:
        key = f"{SECTION}.{error.full_key}"
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{key}: {reason} ({layer.place_of(key)})") from error
    assert isinstance(found, DictConfig)
    return found
