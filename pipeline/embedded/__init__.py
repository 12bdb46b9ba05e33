"""The embedded model: a tiny, complete Wan checkpoint that ships with the package."""

from pipeline.embedded.location import judge_folder, weights_folder

__all__ = ["judge_folder", "weights_folder"]
