"""Counter-based noise: the same numbers for a latent frame, whoever asks and in whatever order.

Every draw is keyed by (seed, latent frame, purpose, step) and made on the CPU by Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11), so that a video does not
depend on how it was cut, on the device, or on a restart.

Shared low frequencies (``shared_dc``): windows only hear of each other over a few latent frames, so
what must hold for minutes (palette, identity) has to come from somewhere else. With ``rho > 0`` the
temporal covariance of the noise becomes ``I - rho L + rho / B``: a share ``rho`` of the slowest
part is taken from every frame's own noise and given back as one draw that all frames have in
common. ``L`` is a Gaussian low-pass kernel with ``L(0) = 1 / B`` and unit sum, so the variance
stays exactly 1 and the covariance depends on the distance of two frames alone: no block borders, no
seams.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

Purpose = Literal["initial", "shared_dc", "renoise", "anchor"]

# Beyond this many standard deviations of L the filter's taps are below 1e-7.
_FILTER_REACH_SIGMAS = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseOptions:
    """How frames' noise is related.

    Attributes:
        shared_dc: rho in [0, 1), the share of the slowest part that all frames have in common; 0 is
            independent noise.
        shared_dc_latent_frames: B, the length that counts as slow.
    """

    shared_dc: float = 0.0
    shared_dc_latent_frames: int = 17

    def __post_init__(self) -> None:
        if not 0.0 <= self.shared_dc < 1.0:
            raise ConfigError(f"noise.shared_dc = {self.shared_dc}: expected 0 <= shared_dc < 1")
        if self.shared_dc_latent_frames < 2:
            raise ConfigError(
                f"noise.shared_dc_latent_frames = {self.shared_dc_latent_frames}: "
                "expected at least 2"
            )


def white_noise(
    seed: int, latent_frame: int, purpose: Purpose, step: int, shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Standard normal numbers ``[C, H, W]`` for one latent frame, which may be negative."""
    name = f"nightreel/{seed}/{latent_frame}/{purpose}/{step}".encode()
    key = np.frombuffer(hashlib.blake2b(name, digest_size=16).digest(), dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.standard_normal(shape, dtype=np.float32)


def initial_noise(
    seed: int, latent_frames: Iterable[int], shape: tuple[int, int, int], options: NoiseOptions
) -> Iterator[Tensor]:
    """The noise that sampling starts from: ``[C, H, W]`` fp32 for each latent frame in turn."""
    if options.shared_dc == 0.0:
        for frame in latent_frames:
            yield torch.from_numpy(white_noise(seed, frame, "initial", 0, shape))
    else:
        yield from map(torch.from_numpy, _filtered(seed, latent_frames, shape, options))


def _filtered(
    seed: int, latent_frames: Iterable[int], shape: tuple[int, int, int], options: NoiseOptions
) -> Iterator[NDArray[np.float32]]:
    """White noise through ``sqrt(I - rho L)``, plus the common draw of variance ``rho / B``.

    Taps are added one at a time in a fixed order, so that a frame's bits depend on nothing else.
    """
    taps = high_pass_taps(options)
    reach = len(taps) // 2
    common = np.float32(math.sqrt(options.shared_dc / options.shared_dc_latent_frames))
    shared = common * white_noise(seed, 0, "shared_dc", 0, shape)
    noise: dict[int, NDArray[np.float32]] = {}
    for frame in latent_frames:
        total = shared.copy()
        for tap, source in zip(taps, range(frame - reach, frame + reach + 1), strict=True):
            if source not in noise:
                noise[source] = white_noise(seed, source, "initial", 0, shape)
            total += tap * noise[source]
        for passed in [source for source in noise if source < frame - reach]:
            del noise[passed]
        yield total


@lru_cache(maxsize=16)
def high_pass_taps(options: NoiseOptions) -> NDArray[np.float32]:
    """The symmetric filter whose square is ``I - rho L``, cut where it has died out."""
    sigma = options.shared_dc_latent_frames / math.sqrt(2.0 * math.pi)
    reach = math.ceil(_FILTER_REACH_SIGMAS * sigma)
    length = 16 * reach
    frequency = np.fft.rfftfreq(length)
    low_pass = np.exp(-0.5 * (2.0 * math.pi * frequency * sigma) ** 2)
    taps = np.fft.irfft(np.sqrt(1.0 - options.shared_dc * low_pass), length)
    return np.concatenate([taps[-reach:], taps[: reach + 1]]).astype(np.float32)
