"""Where the embedded model's checkpoint lies."""

from __future__ import annotations

from pathlib import Path


def weights_folder() -> Path:
    """The embedded checkpoint, a folder in diffusers' layout that ships with the package."""
    return Path(__file__).parent / "weights"
