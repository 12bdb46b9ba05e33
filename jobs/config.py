"""A job's configuration: defaults < preset < YAML files < overrides, merged, checked and frozen.

The only place that knows OmegaConf. What comes out is a ``JobConfig``: plain, typed, complete.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jobs.layers import OPEN, ConfigLayer, file_layer, override_layer, preset_layer
from jobs.settings import JobConfig
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.errors import ConfigError
from storage.fingerprint import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.decode_options import DecodeOptions
    from storage.fingerprint import OptionValue

DEFAULT_PRESET = "embedded"

# A file may name the preset that it builds on.
PRESET_KEY = "preset"


def load_config(
    *,
    preset: str | None = None,
    files: Sequence[Path] = (),
    overrides: Sequence[str] = (),
) -> JobConfig:
    """Merge what was set in each place; later places win.

    Args:
        preset: a preset's name; ``None``: what the last file names as ``preset``, else
            ``embedded``.
        files: YAML files.
        overrides: ``key=value``, the key dotted.

    Raises:
        ConfigError: an unknown key, a value of the wrong type, values that don't fit together, an
            interpolation, or a file that can't be read; the message names the key and the place.
    """
    file_layers = [file_layer(path) for path in files]
    named = [layer.values.pop(PRESET_KEY) for layer in file_layers if PRESET_KEY in layer.values]
    chosen = preset if preset is not None else str(named[-1]) if named else DEFAULT_PRESET
    override_layers = [override_layer(override) for override in overrides]
    return merge([preset_layer(chosen), *file_layers, *override_layers])


def merge(layers: Sequence[ConfigLayer]) -> JobConfig:
    """The configuration that the layers make together; later layers win.

    Raises:
        ConfigError: see ``load_config``.
    """
    known = {key for key, _ in _leaves(canonical(JobConfig()))}
    merged = OmegaConf.structured(JobConfig)
    for layer in layers:
        _check_keys(layer, known)
        merged = _merged(merged, layer)
    in_force = {
        key: (value, layer.place_of(key))
        for layer in layers
        for key, value in _leaves(layer.values)
    }
    for key, (value, place) in in_force.items():
        if value == OPEN:
            raise ConfigError(f"{key}: {place} leaves this to you; set {key}=...")
    try:
        config = OmegaConf.to_object(merged)
    except ConfigError as error:
        places = {key: place for key, (_, place) in in_force.items()}
        raise ConfigError(f"{error}{_place_in(str(error), places)}") from error
    assert isinstance(config, JobConfig)
    return config


def canonical(config: JobConfig) -> dict[str, Any]:
    """The configuration as plain nested values, ready for JSON; it holds no secrets."""
    return asdict(config)


def config_hash(config: JobConfig) -> str:
    """A name for this configuration: equal configurations, equal names, on every machine."""
    return digest(canonical(config))


def numeric_options(config: JobConfig) -> dict[str, OptionValue]:
    """The options that change what a finished video looks like, by dotted key.

    They belong to its fingerprint. Counted are what changes latents and what the encoder makes of
    the frames, since the finished object differs with either. Not counted is where and how fast the
    work is done: gang, store, ray, encoder threads, faststart. An option that is not in force, such
    as ``overlap_frames`` outside ``decay``, is ``None``. Two things speak for themselves:
    ``defaults`` in the resolved request, and weights by their digest.
    """
    boundary, noise, encode = config.boundary, config.noise, config.encode
    reads_halo = boundary.mode in {"halo", "consensus"}
    is_shared = noise.shared_dc > 0
    return {
        "engine.dtype": config.engine.dtype,
        **_engine_options(config),
        "sampler.solver": config.sampler.solver,
        "boundary.mode": boundary.mode,
        "boundary.halo_latent_frames": boundary.halo_latent_frames if reads_halo else None,
        "boundary.shift": boundary.shift if reads_halo else None,
        "boundary.overlap_frames": boundary.overlap_frames if boundary.mode == "decay" else None,
        "noise.shared_dc": noise.shared_dc,
        "noise.shared_dc_latent_frames": noise.shared_dc_latent_frames if is_shared else None,
        "prompts.transition_s": config.prompts.transition_s,
        **_decode_options(config.decode),
        "encode.codec": encode.codec,
        "encode.crf": encode.quality,
        "encode.preset": encode.effort,
        "encode.pixel_format": encode.pixel_format,
    }


def _decode_options(decode: DecodeOptions) -> dict[str, OptionValue]:
    """Nothing but what makes other frames than one whole stream of whole pictures."""
    warmup = decode.warmup_latent_frames if decode.parallel else None
    return {
        "decode.warmup_latent_frames": warmup,
        "decode.piece_latent_frames": None if warmup is None else decode.piece_latent_frames,
        "decode.tile_px": decode.tile_px if decode.tiled else None,
        "decode.overlap_px": decode.overlap_px if decode.tiled else None,
    }


def _engine_options(config: JobConfig) -> dict[str, OptionValue]:
    if config.engine.name != "gaussian":
        # ``auto`` is not counted: what it takes does not depend on the request. The sidecar has it.
        profile = PROFILES.get(config.engine.profile)
        changes = config.engine.speed.changes
        return {
            "engine.profile": None if profile is None or profile.is_exact else profile.name,
            **{f"engine.speed.{name}": value for name, value in changes.items()},
        }
    options = asdict(config.engine.gaussian)
    # Time only passes: it leaves no trace in the latents.
    del options["window_cost_s"]
    return {f"engine.gaussian.{name}": value for name, value in options.items()}


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of everything that is not a section."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _check_keys(layer: ConfigLayer, known: set[str]) -> None:
    sections = {key.rpartition(".")[0] for key in known}
    sections |= {section.partition(".")[0] for section in sections}
    for key, value in _leaves(layer.values):
        if key in sections and value != {}:
            raise ConfigError(
                f"{key} = {value!r}: expected a section with {_children(key, known)} "
                f"({layer.place_of(key)})"
            )
        if key not in known and key not in sections:
            raise ConfigError(
                f"{key}: unknown key; {_suggestion(key, known)} ({layer.place_of(key)})"
            )


def _children(section: str, known: set[str]) -> str:
    prefix = f"{section}."
    return ", ".join(sorted(key.removeprefix(prefix) for key in known if key.startswith(prefix)))


def _suggestion(key: str, known: set[str]) -> str:
    name = key.rpartition(".")[2]
    same_name = sorted(candidate for candidate in known if candidate.endswith(f".{name}"))
    close = same_name[:1] or get_close_matches(key, sorted(known), n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}?"
    section = key.rpartition(".")[0]
    children = _children(section, known)
    if children:
        return f"{section} has {children}"
    return f"there are {', '.join(sorted({candidate.partition('.')[0] for candidate in known}))}"


def _merged(merged: DictConfig, layer: ConfigLayer) -> DictConfig:
    try:
        result = OmegaConf.merge(merged, layer.values)
    except OmegaConfBaseException as error:
        key = str(error.full_key)
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{key}: {reason} ({layer.place_of(key)})") from error
    assert isinstance(result, DictConfig)
    return result


def _place_in(message: str, places: dict[str, str]) -> str:
    """Where the setting that a message begins with was set, if anyone set it."""
    found = re.match(r"([\w.]+) = ", message)
    place = places.get(found.group(1)) if found else None
    return f" ({place})" if place else ""
