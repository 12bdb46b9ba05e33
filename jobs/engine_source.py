"""A job's engine: where its files come from, and what is known of it without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engines.registry import read_spec
from storage.engine_files import EngineFiles

if TYPE_CHECKING:
    from jobs.settings import JobConfig
    from pipeline.engines.protocol import EngineSpec


def engine_source(config: JobConfig) -> EngineFiles:
    """What actors get to have the engine's files on their own node.

    Raises:
        ConfigError: a URI can't be understood.
    """
    width, height = config.defaults.width, config.defaults.height
    size = None if width is None or height is None else (width, height)
    return EngineFiles(options=config.engine, s3=config.store, size=size)


def engine_spec(config: JobConfig) -> EngineSpec:
    """What is known of a job's engine without loading it; its files are fetched to this machine.

    Raises:
        WeightsError: there are no such weights, or they are no checkpoint.
        StoreError: the store that they are in said no.
    """
    return read_spec(engine_source(config).local())
