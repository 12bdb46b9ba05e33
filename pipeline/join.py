"""Slots to latent frames, in order, a few at a time.

Shape suffixes: T slots or latent frames, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.boundary import Boundary


class Joiner:
    """Takes a video's finished slots in order and gives its finished latents in order.

    Holds back only what a later run of slots may still fade into: less than a window.
    """

    def __init__(self, boundary: Boundary) -> None:
        self._joints = list(boundary.joints())
        self._joint = 0
        self._slot = 0
        self._first = 0
        self._held: list[Tensor] = []

    def push(self, slots_TCHW: Tensor) -> Tensor:
        """Take the next slots; give the latent frames that are now final, ``[T, C, H, W]``."""
        if len(self._joints) == 1:
            return slots_TCHW
        final: list[Tensor] = []
        for row_CHW in slots_TCHW:
            self._take(row_CHW)
            final.extend(self._release())
        return torch.stack(final) if final else slots_TCHW[:0]

    def _take(self, row_CHW: Tensor) -> None:
        joint = self._joints[self._joint]
        offset = self._slot - joint.span.start
        if offset < len(joint.fade):
            held = joint.first_latent_frame + offset - self._first
            fade = joint.fade[offset]
            if fade > 0.0:
                self._held[held] = self._held[held] * (1.0 - fade) + row_CHW * fade
        else:
            self._held.append(row_CHW.clone())
        self._slot += 1
        if self._slot == joint.span.stop and self._joint + 1 < len(self._joints):
            self._joint += 1

    def _release(self) -> list[Tensor]:
        """Frames that no run still to come, or still coming, can change."""
        joint = self._joints[self._joint]
        offset = self._slot - joint.span.start
        limit = joint.first_latent_frame + max(0, offset)
        if self._joint + 1 < len(self._joints):
            limit = min(limit, self._joints[self._joint + 1].first_latent_frame)
        count = max(0, min(limit - self._first, len(self._held)))
        released, self._held = self._held[:count], self._held[count:]
        self._first += count
        return released
