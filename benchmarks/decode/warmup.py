"""Frames decoded after a warm-up of some latent frames, against those of one whole stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.decode.autoencoders import Subject

# Latent frames that are looked at after each warm-up, from the first that is kept.
KEPT = 8

WIDTHS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 38)


@dataclass(frozen=True, slots=True)
class Difference:
    """Bytes of decoded frames against those of the whole.

    Attributes:
        mean_squared: of the differences.
        largest: of the differences, in grey values.
        share: of bytes that differ.
    """

    mean_squared: float
    largest: int
    share: float

    @property
    def psnr_db(self) -> float:
        """Peak signal to noise ratio; infinite where nothing differs."""
        return 10.0 * math.log10(255.0**2 / self.mean_squared) if self.mean_squared else math.inf


def differences(subject: Subject, widths: Sequence[int], num_pieces: int) -> dict[int, Difference]:
    """What each width costs, over pieces that begin one after another behind the reach."""
    whole = list(subject.decoder(None).push(subject.latents_TCHW))
    reach = subject.reach_latent_frames
    starts = [reach + i * KEPT for i in range(num_pieces)]
    assert starts[-1] + KEPT <= len(whole), f"{len(whole)} latent frames are too few"
    return {
        width: compare(
            np.concatenate([kept_frames(subject, start, width) for start in starts]),
            np.concatenate([np.concatenate(whole[start : start + KEPT]) for start in starts]),
        )
        for width in sorted({*(w for w in widths if w < reach), reach})
    }


def kept_frames(subject: Subject, start: int, width: int) -> NDArray[np.uint8]:
    """A piece's frames.

    Without a warm-up its first latent frame is decoded as a video's first, one frame; that frame
    then stands for all that the latent frame holds.
    """
    latents = subject.latents_TCHW[start - width : start + KEPT]
    frames = list(subject.decoder(None).push(latents))[width:]
    if width == 0:
        frames[0] = np.repeat(frames[0], len(frames[1]), axis=0)
    return np.concatenate(frames)


def compare(ours: NDArray[np.uint8], whole: NDArray[np.uint8]) -> Difference:
    """The difference of two runs of frames of the same shape."""
    assert ours.shape == whole.shape, f"{ours.shape} against {whole.shape}"
    apart = np.abs(ours.astype(int) - whole)
    return Difference(float(np.square(apart).mean()), int(apart.max()), float((apart > 0).mean()))


def same_bytes_from(found: dict[int, Difference]) -> int:
    """The smallest width from which on, at every larger one too, no byte differs."""
    same = max(found)
    for width in sorted(found, reverse=True):
        if found[width].largest:
            return same
        same = width
    return same
