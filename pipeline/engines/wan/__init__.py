"""The ``wan`` engine: Wan 2.1 and 2.2 text-to-video checkpoints in diffusers' folder layout."""

from pipeline.engines.wan.entry import load, spec

__all__ = ["load", "spec"]
