"""Rendered clips for the autoencoder: a pool in one memory-mapped file, and held-out clips.

Shapes: N clips, F frames, H rows, W columns; pixels are RGB, as bytes or in [-1, 1].
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.world import Scene, render, sample_scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from jobs.embedded.recipe import Geometry

# Scenes from here on are never trained on.
HELD_OUT = 10**9
# A clip starts anywhere in the first minute of its scene.
START_WITHIN_S = 60.0


def clip_times(scene_seed: int, frames: int, fps: int) -> NDArray[np.float64]:
    """When the frames of a training clip of scene ``scene_seed`` are, in seconds."""
    start = np.random.default_rng([scene_seed, 1]).uniform(0.0, START_WITHIN_S)
    times: NDArray[np.float64] = start + np.arange(frames) / fps
    return times


def to_pixels(frames: NDArray[np.uint8]) -> Tensor:
    """Bytes ``[..., F, H, W, 3]`` to fp32 pixels ``[..., 3, F, H, W]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -4).float() / 127.5 - 1.0


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """The inverse of ``to_pixels``, clamped."""
    scaled = (pixels.detach().float().clamp(-1.0, 1.0) + 1.0) * 127.5
    frames: NDArray[np.uint8] = scaled.round().to(torch.uint8).movedim(-4, -1).numpy()
    return frames


def held_out_scenes(count: int, *, clear: bool) -> list[Scene]:
    """Scenes that are never trained on; ``clear`` takes away their weather."""
    scenes = [sample_scene(HELD_OUT + i) for i in range(count)]
    return [replace(scene, weather="clear") if clear else scene for scene in scenes]


class Footage:
    """A pool of ``clips`` rendered clips, made once and kept in ``path``."""

    def __init__(self, path: Path, clips: int, frames: int, geometry: Geometry) -> None:
        shape = (clips, frames, geometry.height, geometry.width, 3)
        if not path.exists():
            partial = path.with_suffix(".partial")
            pool = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            for i in range(clips):
                times = clip_times(i, frames, geometry.fps)
                pool[i] = render(sample_scene(i), times, geometry.height, geometry.width)
            pool.flush()
            partial.replace(path)
        self._pool: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        if self._pool.shape != shape:
            raise ValueError(f"{path} holds {self._pool.shape}, expected {shape}: delete it")

    def whole(self, rng: np.random.Generator, batch: int) -> Tensor:
        """A batch of whole clips, ``[N, 3, F, H, W]``."""
        return to_pixels(self._pool[rng.integers(len(self._pool), size=batch)])

    def stills(self, rng: np.random.Generator, batch: int, side: int) -> Tensor:
        """A batch of square crops of single frames, ``[N, 3, 1, side, side]``."""
        clips = self._crops(rng, batch, side)
        frame = int(rng.integers(self._pool.shape[1]))
        return to_pixels(clips[:, frame : frame + 1])

    def crops(self, rng: np.random.Generator, batch: int, side: int) -> Tensor:
        """A batch of square crops of clips, ``[N, 3, F, side, side]``."""
        return to_pixels(self._crops(rng, batch, side))

    def _crops(self, rng: np.random.Generator, batch: int, side: int) -> NDArray[np.uint8]:
        """Each from a clip and a place of its own."""
        _, _, height, width, _ = self._pool.shape
        picked = []
        for i in rng.integers(len(self._pool), size=batch):
            top = int(rng.integers(height - side + 1))
            left = int(rng.integers(width - side + 1))
            picked.append(self._pool[i, :, top : top + side, left : left + side])
        return np.stack(picked)
