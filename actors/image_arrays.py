"""``ImageEmbeds`` on their way through the object store, which maps numpy arrays without a copy.

Shape suffixes: T latent frames, C channels, H height, W width, S image tokens, D their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline.engines.protocol import ImageEmbeds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ImageArrays:
    """The fields of ``ImageEmbeds``, fp32."""

    latents_TCHW: NDArray[np.float32]
    embeds_SD: NDArray[np.float32] | None

    @classmethod
    def of(cls, image: ImageEmbeds) -> ImageArrays:
        """For sending."""
        embeds_SD = None if image.embeds_SD is None else image.embeds_SD.numpy()
        return cls(image.latents_TCHW.numpy(), embeds_SD)

    def copied(self) -> ImageEmbeds:
        """As received: copies, since what was sent is shared memory."""
        return ImageEmbeds(
            latents_TCHW=torch.from_numpy(self.latents_TCHW.copy()),
            embeds_SD=None if self.embeds_SD is None else torch.from_numpy(self.embeds_SD.copy()),
        )
