"""Stage ``latents``: clips of the world, encoded ahead.

The transformer would starve if every window were rendered and encoded when it is needed. The cache
is one memory-mapped file of half floats and a count of the clips that are in it, so that training
may begin while the cache still grows, and a stopped run goes on where it was. Clip i shows scene i;
its caption is made anew every time it is used.

Latents in the cache are raw; ``LatentStatistics`` brings them to mean 0 and deviation 1 per
channel, as ``latents_mean`` and ``latents_std`` of the autoencoder's configuration do at sampling.

Shapes: N clips, B windows, C channels, T latent frames, H and W latent pixels.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from jobs.embedded.autoencoder import encode_moments
from jobs.embedded.footage import clip_times, to_pixels
from pipeline.world import render, sample_scene

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import AutoencoderKLWan
    from numpy.typing import NDArray
    from torch import Tensor

    from jobs.embedded.recipe import Recipe

logger = logging.getLogger(__name__)

# Clips whose latents are measured.
MEASURED_CLIPS = 64
LOG_EVERY_CLIPS = 200


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Mean and standard deviation per latent channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalise(self, latents_BCTHW: Tensor) -> Tensor:
        """Raw latents to unit ones."""
        mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (self.mean, self.std))
        return (latents_BCTHW - mean) / std


class LatentCache:
    """The folder's cache: ``latents.npy``, ``latents.count`` and ``latents.json``."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        ours, geometry = recipe.latents, recipe.geometry
        self.recipe = recipe
        self._path = folder / "latents.npy"
        self._count_path = folder / "latents.count"
        self._statistics_path = folder / "latents.json"
        self.shape = (
            ours.clips,
            recipe.autoencoder.z_dim,
            ours.clip_latent_frames,
            geometry.height // 8,
            geometry.width // 8,
        )

    @property
    def count(self) -> int:
        """How many clips are in the cache."""
        return int(self._count_path.read_text()) if self._count_path.exists() else 0

    def statistics(self) -> LatentStatistics:
        """What was measured on the first clips."""
        stored = json.loads(self._statistics_path.read_text())
        return LatentStatistics(tuple(stored["mean"]), tuple(stored["std"]))

    def fill(self, vae: AutoencoderKLWan) -> None:
        """Encode whatever clips are missing; measure the first ones."""
        mode = "r+" if self._path.exists() else "w+"
        cache = np.lib.format.open_memmap(self._path, mode=mode, dtype=np.float16, shape=self.shape)
        batch, total = self.recipe.latents.batch, self.shape[0]
        for start in range(self.count, total, batch):
            stop = min(start + batch, total)
            cache[start:stop] = self._encode(vae, range(start, stop))
            self._replace(self._count_path, str(stop))
            if not self._statistics_path.exists() and stop >= min(MEASURED_CLIPS, total):
                self._measure(cache[:stop])
            if stop % LOG_EVERY_CLIPS < batch:
                logger.info("latents: %d of %d clips", stop, total)

    def window(self, rng: np.random.Generator, length: int, interior: float) -> tuple[int, Tensor]:
        """A window of ``length`` latent frames and the number of its scene.

        With probability ``interior`` it is cut from the clip's interior, else it is the clip's
        start.
        """
        latents = np.load(self._path, mmap_mode="r")
        clip = int(rng.integers(self.count))
        room = self.shape[2] - length
        offset = int(rng.integers(1, room + 1)) if room and rng.uniform() < interior else 0
        piece = np.array(latents[clip, :, offset : offset + length], dtype=np.float32)
        return clip, torch.from_numpy(piece)

    def _encode(self, vae: AutoencoderKLWan, scenes: range) -> NDArray[np.float16]:
        geometry = self.recipe.geometry
        frames = 1 + 4 * (self.shape[2] - 1)
        clips = [
            to_pixels(
                render(
                    sample_scene(i),
                    clip_times(i, frames, geometry.fps),
                    geometry.height,
                    geometry.width,
                )
            )
            for i in scenes
        ]
        with torch.no_grad():
            mean, _ = encode_moments(vae, torch.stack(clips))
        half: NDArray[np.float16] = mean.to(torch.float16).numpy()
        return half

    def _measure(self, latents: NDArray[np.float16]) -> None:
        flat = latents.astype(np.float64).swapaxes(0, 1).reshape(self.shape[1], -1)
        measured = LatentStatistics(
            tuple(float(v) for v in flat.mean(axis=1)), tuple(float(v) for v in flat.std(axis=1))
        )
        self._replace(self._statistics_path, json.dumps(asdict(measured)))

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)
