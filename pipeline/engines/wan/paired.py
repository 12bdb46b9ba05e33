"""A Wan engine that predicts with and without a prompt in one batch of two.

Shape suffixes: T latent frames, C channels, H height, W width, S text tokens, D their width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engines.wan.engine import WanEngine

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.protocol import NoiseLevel, WindowImage


class PairedWanEngine(WanEngine):
    """Implements ``PairEngine``. A batch of two gives other last bits than two of one."""

    def predict_pair(
        self,
        latents_TCHW: Tensor,
        level: NoiseLevel,
        prompt_embeds_pair: tuple[Tensor, Tensor],
        image: WindowImage | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Two velocities ``[T, C, H, W]``; see ``PairEngine.predict_pair``."""
        first_TCHW, second_TCHW = self._velocities(latents_TCHW, level, prompt_embeds_pair, image)
        return first_TCHW, second_TCHW
