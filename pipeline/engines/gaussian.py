"""The oracle: a denoiser whose answer is known.

Every pixel of every latent channel is, over time, a stationary Gaussian process with a known
covariance: a slow part (the look), a faster one (motion) and a fast one (detail). For such data the
denoiser that a network is trained towards exists in closed form, so the whole machine can be tested
against known covariances, without weights. With an artificial cost per window it is also the load
generator for benchmarks. A prompt sets the process's mean, so that prompts over time can be seen.

For ``x = (1 - s) x0 + s n`` with ``x0 ~ N(mu, K)``, ``n ~ N(0, I)`` and ``S = (1 - s)^2 K + s^2
I``:

    E[x0 | x] = mu + (1 - s) K S^-1 (x - (1 - s) mu)
    v = (x - E[x0 | x]) / s = [I - (1 - s) K S^-1] / s x  -  s S^-1 mu

Shape suffixes: T latent frames or frames, C channels, H height, W width, S text tokens, D text
width.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.engines.protocol import EngineSpec, ImageEmbeds, NoiseLevel, WindowImage
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pipeline.tiling import Tiling

# Variance and length, in latent frames, of each part of the process; variances add up to 1.
_LOOK = (0.55, 124.0)
_MOTION = (0.25, 6.0)
_DETAIL = (0.20, 0.7)

_TEMPORAL_COMPRESSION = 4
_SPATIAL_COMPRESSION = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianOptions:
    """Size and cost of the oracle.

    Attributes:
        channels: latent channels; the first three are shown as red, green and blue.
        window_latent_frames: W.
        window_cost_s: seconds that each forward takes at least, most of them asleep, as an actor
            is that waits for its GPU.
        prompt_contrast: how far a prompt moves the mean; 0 is the pure oracle.
    """

    channels: int = 16
    window_latent_frames: int = 21
    window_cost_s: float = 0.0
    prompt_contrast: float = 1.0

    def __post_init__(self) -> None:
        if self.channels < 3:
            raise ConfigError(f"engine.gaussian.channels = {self.channels}: expected at least 3")
        if self.window_latent_frames < 3:
            raise ConfigError(
                f"engine.gaussian.window_latent_frames = {self.window_latent_frames}: "
                "expected at least 3"
            )
        if not 0.0 <= self.window_cost_s < 3600.0:
            raise ConfigError(
                f"engine.gaussian.window_cost_s = {self.window_cost_s}: expected 0 to 3600 seconds"
            )


def covariance(num_latent_frames: int) -> NDArray[np.float64]:
    """The process's covariance ``K [T, T]``, with variance 1."""
    lag = np.abs(np.subtract.outer(np.arange(num_latent_frames), np.arange(num_latent_frames)))
    return np.asarray(correlation(lag))


def correlation(lag: NDArray[np.int_]) -> NDArray[np.float64]:
    """Correlation of two latent frames ``lag >= 0`` apart: .40 at 40, .29 at 80."""
    variance, length = _LOOK
    total = variance * np.exp(-lag / length)
    for variance, length in (_MOTION, _DETAIL):
        total = total + variance * np.exp(-0.5 * (lag / length) ** 2)
    return np.asarray(total)


def spec(options: GaussianOptions) -> EngineSpec:
    """What is known of the oracle without making it."""
    counted = asdict(options)
    del counted["window_cost_s"]  # time leaves no trace in the numbers
    digest = hashlib.blake2b(repr(sorted(counted.items())).encode(), digest_size=16)
    return EngineSpec(
        name="gaussian",
        channels=options.channels,
        temporal_compression=_TEMPORAL_COMPRESSION,
        spatial_compression=_SPATIAL_COMPRESSION,
        size_multiple_px=2 * _SPATIAL_COMPRESSION,
        window_latent_frames=options.window_latent_frames,
        decode_reach_latent_frames=1,
        fps=16.0,
        width=112,
        height=64,
        num_inference_steps=20,
        guidance_scale=1.0,
        flow_shift=5.0,
        weights_digest=digest.hexdigest(),
    )


class GaussianEngine:
    """The exact denoiser of a stationary Gaussian process, window by window."""

    def __init__(self, options: GaussianOptions) -> None:
        self._options = options
        self._spec = spec(options)

    @property
    def spec(self) -> EngineSpec:
        """What is known of the engine without making it."""
        return self._spec

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """The mean of each prompt's process, ``[1, C]``: a colour from a hash of its words."""
        return [self._mean_of(prompt) for prompt in prompts]

    def encode_image(self, pixels_HWC: NDArray[np.uint8]) -> ImageEmbeds:
        """It takes none."""
        raise AssertionError(f"the oracle takes no image, got one of {pixels_HWC.shape}")

    def predict(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_SD: Tensor,
        image: WindowImage | None = None,
    ) -> Tensor:
        """The posterior velocity of one window, ``[T, C, H, W]``."""
        assert image is None, "the oracle takes no image"
        with _lasting(self._options.window_cost_s):
            gain_TT, offset_T = _posterior(len(latents_TCHW), level.sigma)
            velocity_TCHW = torch.einsum("ts,schw->tchw", gain_TT, latents_TCHW)
            mean_CHW = prompt_embeds_SD[0][:, None, None]
            return velocity_TCHW + offset_T[:, None, None, None] * mean_CHW

    def stream_decoder(self, tiling: Tiling | None = None) -> GaussianDecoder:
        """A fresh decoder for one video; it has no need of tiles."""
        del tiling
        return GaussianDecoder()

    def _mean_of(self, prompt: str) -> Tensor:
        digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
        generator = np.random.Generator(np.random.Philox(int.from_bytes(digest)))
        mean = generator.uniform(-1.0, 1.0, (1, self._options.channels)).astype(np.float32)
        return torch.from_numpy(mean * np.float32(self._options.prompt_contrast))


@contextmanager
def _lasting(cost_s: float) -> Iterator[None]:
    """Take at least so long: a thread sleeps beside, since rendering knows no clock."""
    if cost_s == 0.0:
        yield
        return
    sleeper = threading.Thread(target=time.sleep, args=(cost_s,))
    sleeper.start()
    try:
        yield
    finally:
        sleeper.join()


class GaussianDecoder:
    """Shows the first three latent channels as colours, smooth in space and time."""

    def __init__(self) -> None:
        self._before_CHW: Tensor | None = None

    def push(self, latents_TCHW: Tensor) -> Iterator[NDArray[np.uint8]]:
        """One frame for the video's first latent frame, four for every other."""
        for latent_CHW in latents_TCHW[:, :3]:
            now_CHW = latent_CHW.clone()
            before_CHW, self._before_CHW = self._before_CHW, now_CHW
            if before_CHW is None:
                yield _picture(now_CHW[None])
                continue
            ahead_T = torch.arange(1, _TEMPORAL_COMPRESSION + 1) / _TEMPORAL_COMPRESSION
            yield _picture(
                before_CHW + (now_CHW - before_CHW) * ahead_T[:, None, None, None],
            )


def _picture(colours_TCHW: Tensor) -> NDArray[np.uint8]:
    large_TCHW = torch.nn.functional.interpolate(
        colours_TCHW, scale_factor=_SPATIAL_COMPRESSION, mode="bicubic", align_corners=False
    )
    shades_TCHW = (0.5 + 0.18 * large_TCHW).clamp(0.0, 1.0) * 255.0
    return shades_TCHW.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


@lru_cache(maxsize=256)
def _posterior(num_latent_frames: int, sigma: float) -> tuple[Tensor, Tensor]:
    """The matrix that takes ``x`` to ``v``, and the vector that takes ``mu`` to its share."""
    identity = np.eye(num_latent_frames)
    process = covariance(num_latent_frames)
    precision = np.linalg.inv((1.0 - sigma) ** 2 * process + sigma**2 * identity)
    gain = (identity - (1.0 - sigma) * process @ precision) / sigma
    offset = -sigma * precision.sum(axis=1)
    return torch.from_numpy(gain.astype(np.float32)), torch.from_numpy(offset.astype(np.float32))
