"""How the windows of one video see its image.

    conditioning   latent frame 0             a window that holds it   a later window
    first_frame    is the image, not sampled  timestep 0 for it        nothing; or an anchor
    channels       sampled like all others    image and mask           mask 0; or an anchor

An *anchor* (``image.anchor = every_window``) puts the image in the place of a later window's first
latent frame: that is what these models were trained to see there. The place is one that the window
does not answer for (it is halo, see ``pipeline.windows``), so nothing of the image is ever shown;
it costs one latent frame of what the window hears of its left neighbour.

In a model with channels the anchored place bears the window's noise level like all others:
``(1 - sigma) image + sigma noise``, with noise that is the same for all windows and steps.

Shape suffixes: T latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.engines.protocol import ImageEmbeds, WindowImage
from pipeline.noise import white_noise

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.protocol import NoiseLevel
    from pipeline.plan import VideoPlan


class ImageGuide:
    """One video's image, encoded, and what each window is told of it."""

    def __init__(self, plan: VideoPlan, embeds: ImageEmbeds | None) -> None:
        """Take what ``Engine.encode_image`` made of ``plan.image``; ``None`` if there is none."""
        assert (embeds is None) == (plan.image is None), "an image must be encoded"
        self._embeds, self._conditioning = embeds, plan.engine.image
        request = plan.request
        self._anchors = request.image is not None and request.image.anchor == "every_window"
        self._noise_CHW: Tensor | None = None
        if self._anchors and self._conditioning == "channels":
            noise = white_noise(request.seed, 0, "anchor", 0, plan.latent_shape)
            self._noise_CHW = torch.from_numpy(noise)

    @property
    def first_latent(self) -> Tensor | None:
        """``[C, H, W]``, what latent frame 0 is from beginning to end; ``None``: it is sampled."""
        if self._embeds is None or self._conditioning != "first_frame":
            return None
        return self._embeds.latents_TCHW[0]

    def seen_by(
        self, first_latent_frame: int, latents_TCHW: Tensor, level: NoiseLevel
    ) -> tuple[Tensor, WindowImage | None]:
        """The latents of a window as the model is to see them, and what it is told of the image.

        Args:
            first_latent_frame: where in the video the window begins.
            latents_TCHW: its latents; not written to.
            level: the noise level of all of them.
        """
        if self._embeds is None:
            return latents_TCHW, None
        if first_latent_frame == 0:
            return latents_TCHW, WindowImage(self._embeds, at_start=True)
        if self._anchors:
            anchored_TCHW = latents_TCHW.clone()
            anchored_TCHW[0] = self._anchor(level)
            return anchored_TCHW, WindowImage(self._embeds, at_start=True)
        if self._conditioning == "first_frame":
            return latents_TCHW, None
        return latents_TCHW, WindowImage(self._embeds, at_start=False)

    def _anchor(self, level: NoiseLevel) -> Tensor:
        assert self._embeds is not None, "an anchor is an image"
        image_CHW = self._embeds.latents_TCHW[0]
        if self._noise_CHW is None:
            return image_CHW
        return image_CHW * (1.0 - level.sigma) + self._noise_CHW * level.sigma
