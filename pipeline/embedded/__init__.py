"""The embedded model: a tiny, complete Wan checkpoint that ships with the package."""

from pipeline.embedded.location import weights_folder

__all__ = ["weights_folder"]
