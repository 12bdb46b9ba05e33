"""Rendered clips of the world: one pool on disk that every stage draws from, and held-out scenes.

Clip i shows scene i. All cores render at once, each straight into the file, and training begins as
soon as its first clips are there; a stopped run goes on where it was.

Shapes: N clips, F frames, H rows, W columns; pixels are RGB, as bytes or in [-1, 1].
"""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import torch

from jobs.embedded.clips import render_clips
from pipeline.world import Scene, sample_scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from jobs.embedded.recipe import Recipe

logger = logging.getLogger(__name__)

# Scenes from here on are never trained on.
HELD_OUT = 10**9
# What one process renders before it reports: a second or two of work.
CLIPS_PER_TASK = 8
# Cores left to the training itself.
CORES_KEPT = 1


def to_pixels(frames: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Bytes ``[..., F, H, W, 3]`` to fp32 pixels ``[..., 3, F, H, W]`` in [-1, 1]."""
    held = torch.from_numpy(np.require(frames, requirements=["C", "W"])).to(device)
    return held.movedim(-1, -4).float() / 127.5 - 1.0


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """The inverse of ``to_pixels``, clamped."""
    scaled = (pixels.detach().float().clamp(-1.0, 1.0) + 1.0) * 127.5
    frames: NDArray[np.uint8] = scaled.round().to(torch.uint8).movedim(-4, -1).cpu().numpy()
    return frames


def held_out_scenes(count: int, *, clear: bool) -> list[Scene]:
    """Scenes that are never trained on; ``clear`` takes away their weather."""
    scenes = [sample_scene(HELD_OUT + i) for i in range(count)]
    return [replace(scene, weather="clear") if clear else scene for scene in scenes]


class Footage:
    """The run's pool: ``footage.npy`` and, in ``footage.count``, how many clips are in it."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        """Open the pool, or make room for it.

        Raises:
            ValueError: the pool there is of another recipe.
        """
        geometry, clips = recipe.geometry, recipe.footage.clips
        self.fps = geometry.fps
        self.shape = (clips, recipe.footage.clip_frames, geometry.height, geometry.width, 3)
        self._path = folder / "footage.npy"
        self._count_path = folder / "footage.count"
        folder.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            partial = self._path.with_suffix(".partial")
            np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=self.shape)
            partial.replace(self._path)
        self.clips: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")
        if self.clips.shape != self.shape:
            raise ValueError(
                f"{self._path} holds {self.clips.shape}, expected {self.shape}: delete it"
            )
        self._grown = threading.Condition()
        self._broken: BaseException | None = None

    @property
    def count(self) -> int:
        """How many clips are there, from the first one on."""
        return int(self._count_path.read_text()) if self._count_path.exists() else 0

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Render what is missing, beside whatever is done inside; leaving stops it."""
        missing = range(self.count, self.shape[0], CLIPS_PER_TASK)
        workers = max(1, (os.cpu_count() or 1) - CORES_KEPT)
        if not missing:
            yield
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            tasks = [
                pool.submit(
                    render_clips,
                    self._path,
                    range(start, min(start + CLIPS_PER_TASK, self.shape[0])),
                    self.fps,
                )
                for start in missing
            ]
            counting = threading.Thread(target=self._follow, args=(tasks,), daemon=True)
            counting.start()
            try:
                yield
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                counting.join()

    def wait_for(self, clips: int) -> None:
        """Return when so many clips are there; ``filling`` must be under way.

        Raises:
            RuntimeError: rendering broke off.
        """
        with self._grown:
            self._grown.wait_for(lambda: self.count >= clips or self._broken is not None)
        if self.count < clips:
            raise RuntimeError(f"rendering stopped at clip {self.count}") from self._broken

    def pieces(
        self, rng: np.random.Generator, batch: int, *, among: int, frames: int, side: int | None
    ) -> NDArray[np.uint8]:
        """A batch of ``frames`` frames from anywhere in the first ``among`` clips.

        Whole frames, or squares of ``side`` pixels, each from a place of its own.
        """
        _, length, height, width, _ = self.shape
        rows, columns = (height, width) if side is None else (side, side)
        picked = []
        for clip in rng.integers(among, size=batch):
            start = int(rng.integers(length - frames + 1))
            top = int(rng.integers(height - rows + 1))
            left = int(rng.integers(width - columns + 1))
            piece = self.clips[clip, start : start + frames]
            picked.append(piece[:, top : top + rows, left : left + columns])
        return np.stack(picked)

    def _follow(self, tasks: list[Future[int]]) -> None:
        """Count tasks as they end, in order: the pool is whole from its first clip on."""
        for task in tasks:
            if task.cancelled():
                break
            try:
                stop = task.result()
            except BaseException as error:  # noqa: BLE001  whoever waits raises it
                self._broken = error
                break
            partial = self._count_path.with_suffix(".partial")
            partial.write_text(str(stop))
            partial.replace(self._count_path)
            with self._grown:
                self._grown.notify_all()
        with self._grown:
            self._broken = self._broken or RuntimeError("stopped")
            self._grown.notify_all()
