"""What can render, for ``nightreel engines``: engines, and presets with their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from jobs.config import load_config
from jobs.layers import preset_names
from pipeline.engines.registry import read_spec
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from jobs.settings import JobConfig
    from pipeline.engines.protocol import EngineSpec

# What a preset says of weights that its user has to bring.
BRING = "yours: engine.weights=FOLDER"


def engines_table() -> Table:
    """One row per preset: its engine, and what that renders unless told otherwise."""
    table = Table(title="nightreel engines", title_justify="left")
    for heading in ("preset", "engine", "size", "fps", "window", "steps", "guidance", "weights"):
        table.add_column(heading)
    for name in preset_names():
        config, weights = _loaded(name)
        table.add_row(name, config.engine.name, *_figures(config), weights)
    return table


def _loaded(name: str) -> tuple[JobConfig, str]:
    """A preset's configuration, and where its weights come from."""
    try:
        config = load_config(preset=name)
    except ConfigError:
        return load_config(preset=name, overrides=["engine.weights=missing"]), BRING
    if config.engine.name == "gaussian":
        return config, "needs none"
    return config, config.engine.weights or "in the package"


def _figures(config: JobConfig) -> tuple[str, ...]:
    """Size, rate, window, steps and guidance, as far as they are known without the weights."""
    defaults, spec = config.defaults, _spec(config)
    width = defaults.width or (spec.width if spec else None)
    height = defaults.height or (spec.height if spec else None)
    steps = defaults.num_inference_steps or (spec.num_inference_steps if spec else None)
    guidance = defaults.guidance_scale
    if guidance is None and spec is not None:
        guidance = spec.guidance_scale
    return (
        f"{width}x{height}" if width else "-",
        f"{spec.fps:g}" if spec else "-",
        f"{spec.window_latent_frames} latent frames" if spec else "-",
        str(steps or "-"),
        "-" if guidance is None else f"{guidance:g}",
    )


def _spec(config: JobConfig) -> EngineSpec | None:
    try:
        return read_spec(config.engine)
    except WeightsError:
        return None
