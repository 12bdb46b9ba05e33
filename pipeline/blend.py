"""What several windows say of one slot, as one velocity.

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pipeline.spans import Span


class Prediction(NamedTuple):
    """One window's velocity, and its share in the average for each slot that it sees."""

    span: Span
    weights: Sequence[float]
    velocity_TCHW: Tensor


def blend(slot: int, predictions: Sequence[Prediction]) -> Tensor:
    """The weighted mean of the predictions for one slot, in the order of the windows."""
    total_CHW: Tensor | None = None
    weight_sum = 0.0
    for span, weights, velocity_TCHW in predictions:
        weight = weights[slot - span.start] if span.start <= slot < span.stop else 0.0
        if weight == 0.0:
            continue
        row_CHW = velocity_TCHW[slot - span.start]
        if weight != 1.0:
            row_CHW = row_CHW * weight
        total_CHW = row_CHW if total_CHW is None else total_CHW + row_CHW
        weight_sum += weight
    assert total_CHW is not None, f"no window answers for slot {slot}"
    return total_CHW if weight_sum == 1.0 else total_CHW / weight_sum
