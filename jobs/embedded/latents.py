"""Stage ``latents``: the pool of clips, encoded ahead.

The transformer would starve if every window were rendered and encoded when it is needed. The cache
is one memory-mapped file of half floats and a count of the clips that are in it; a stopped run goes
on where it was. Clip i shows scene i.

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
from jobs.embedded.footage import to_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import AutoencoderKLWan
    from numpy.typing import NDArray
    from torch import Tensor

    from jobs.embedded.footage import Footage
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

    def normalise(self, latents_BTCHW: Tensor) -> Tensor:
        """Raw latents, time first, to unit ones."""
        mean, std = (
            torch.tensor(values, device=latents_BTCHW.device).view(1, 1, -1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (latents_BTCHW - mean) / std


class LatentCache:
    """The folder's cache: ``latents.npy``, ``latents.count`` and ``latents.json``."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        geometry = recipe.geometry
        self.recipe = recipe
        self._path = folder / "latents.npy"
        self._count_path = folder / "latents.count"
        self._statistics_path = folder / "latents.json"
        self._held: Tensor | None = None
        self.shape = (
            recipe.footage.clips,
            recipe.footage.clip_latent_frames,
            recipe.autoencoder.z_dim,
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

    def fill(self, vae: AutoencoderKLWan, footage: Footage) -> None:
        """Encode whatever clips are missing, as they are rendered; measure the first ones."""
        mode = "r+" if self._path.exists() else "w+"
        cache = np.lib.format.open_memmap(self._path, mode=mode, dtype=np.float16, shape=self.shape)
        batch, total = self.recipe.footage.encode_batch, self.shape[0]
        for start in range(self.count, total, batch):
            stop = min(start + batch, total)
            footage.wait_for(stop)
            cache[start:stop] = self._encode(vae, footage.clips[start:stop])
            self._replace(self._count_path, str(stop))
            if not self._statistics_path.exists() and stop >= min(MEASURED_CLIPS, total):
                self._measure(cache[:stop])
            if stop % LOG_EVERY_CLIPS < batch:
                logger.info("latents: %d of %d clips", stop, total)

    def windows(
        self, rng: np.random.Generator, batch: int, length: int, interior: float
    ) -> tuple[NDArray[np.int64], Tensor]:
        """The numbers of ``batch`` clips, and a window ``[B, T, C, H, W]`` of each.

        With probability ``interior`` it is cut from the clip's interior, else it is the clip's
        start.
        """
        latents = self._held
        if latents is None:
            raise RuntimeError("the cache is not loaded")
        clips = rng.integers(len(latents), size=batch)
        room = self.shape[1] - length
        inside = rng.uniform(size=batch) < interior
        starts = np.where(inside & (room > 0), rng.integers(1, max(room, 1) + 1, size=batch), 0)
        frames = starts[:, None] + np.arange(length)
        picked = latents[
            torch.from_numpy(clips[:, None]).to(latents.device),
            torch.from_numpy(frames).to(latents.device),
        ]
        return clips, picked.float()

    def load(self, device: torch.device) -> None:
        """Hold the cache on ``device``; on a CPU it stays on disk."""
        stored = np.load(self._path, mmap_mode="c")[: self.count]
        self._held = torch.from_numpy(stored).to(device)

    def _encode(self, vae: AutoencoderKLWan, clips: NDArray[np.uint8]) -> NDArray[np.float16]:
        ours = self.recipe.autoencoder
        device = next(vae.parameters()).device
        bf16 = ours.bf16 and device.type == "cuda"
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            mean_BCTHW, _ = encode_moments(vae, to_pixels(clips, device))
        half: NDArray[np.float16] = mean_BCTHW.transpose(1, 2).to(torch.float16).cpu().numpy()
        return half

    def _measure(self, latents: NDArray[np.float16]) -> None:
        flat = np.moveaxis(latents.astype(np.float64), 2, 0).reshape(self.shape[2], -1)
        measured = LatentStatistics(
            tuple(float(v) for v in flat.mean(axis=1)), tuple(float(v) for v in flat.std(axis=1))
        )
        self._replace(self._statistics_path, json.dumps(asdict(measured)))

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)
