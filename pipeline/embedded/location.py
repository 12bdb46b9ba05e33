"""Where the embedded model's checkpoint and its judge lie."""

from __future__ import annotations

from pathlib import Path


def weights_folder() -> Path:
    """The embedded checkpoint, a folder in diffusers' layout that ships with the package."""
    return Path(__file__).parent / "weights"


def judge_folder() -> Path:
    """The judge of the embedded model's world; it ships beside the checkpoint."""
    return Path(__file__).parent / "judge"
