"""What can render, for ``nightreel engines``: engines, and presets with their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from jobs.config import load_config
from jobs.layers import preset_names
from pipeline.engines.registry import read_spec
from pipeline.engines.wan.architectures import Architecture, architecture
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from jobs.settings import JobConfig
    from pipeline.engines.protocol import EngineSpec

# What a preset says of weights that its user has to bring.
BRING = "yours: engine.weights=FOLDER"
HEADINGS = (
    *("preset", "engine", "size", "fps", "window", "steps", "guidance", "shift", "experts"),
    "weights",
)


def engines_table() -> Table:
    """One row per preset: its engine, and what that renders unless told otherwise."""
    table = Table(title="nightreel engines", title_justify="left")
    for heading in HEADINGS:
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
    """Size, rate, window, steps, guidance, shift and experts, as far as they are known."""
    defaults, model = config.defaults, _model(config)
    if model is None:
        return ("-",) * (len(HEADINGS) - 3)
    width, height = defaults.width or model.width, defaults.height or model.height
    guidance = f"{model.guidance_scale:g}"
    if isinstance(model, Architecture):
        guidance = model.guidance
    if defaults.guidance_scale is not None:
        guidance = f"{defaults.guidance_scale:g}"
    has_experts = isinstance(model, Architecture) and model.boundary_ratio is not None
    return (
        f"{width}x{height}",
        f"{model.fps:g}",
        f"{model.window_latent_frames} latent frames",
        str(defaults.num_inference_steps or model.num_inference_steps),
        guidance,
        f"{defaults.flow_shift or model.flow_shift:g}",
        "2" if has_experts else "1",
    )


def _model(config: JobConfig) -> EngineSpec | Architecture | None:
    """What is published of a preset's model, or what its weights say."""
    if config.engine.architecture:
        return architecture(config.engine.architecture)
    return _spec(config)


def _spec(config: JobConfig) -> EngineSpec | None:
    try:
        return read_spec(config.engine)
    except WeightsError:
        return None
