"""Rendering clips into the pool's file, in processes that need nothing but numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.world import render, sample_scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# A clip starts anywhere in the first minute of its scene.
START_WITHIN_S = 60.0
# Frames painted at once: few enough that they stay in a core's cache.
FRAMES_AT_ONCE = 12


def clip_times(scene_seed: int, frames: int, fps: int) -> NDArray[np.float64]:
    """When the frames of a training clip of scene ``scene_seed`` are, in seconds."""
    start = np.random.default_rng([scene_seed, 1]).uniform(0.0, START_WITHIN_S)
    times: NDArray[np.float64] = start + np.arange(frames) / fps
    return times


def render_clips(path: Path, scenes: range, fps: int) -> int:
    """Render the clips of ``scenes`` into the file ``[N, F, H, W, 3]``; gives where they end."""
    pool = np.load(path, mmap_mode="r+")
    _, frames, height, width, _ = pool.shape
    for i in scenes:
        times = clip_times(i, frames, fps)
        for start in range(0, frames, FRAMES_AT_ONCE):
            some = slice(start, start + FRAMES_AT_ONCE)
            pool[i, some] = render(sample_scene(i), times[some], height, width)
    pool.flush()
    return scenes.stop
