"""One step's windows: in which order they are predicted, and when a slot's new latent is known.

New latents are written over the old ones, so a slot is *settled*, and may be written, when every
window that sees it has been predicted. What a neighbour waits for is settled first: the windows at
that end of the segment, from the end inwards, before those in the middle. The order changes no bit:
a slot's predictions are averaged in the order of the windows, whichever was made first.

    windows        0   1   2   3   4   5   6   7   8
    predicted      1st 2nd 3rd 7th 8th 9th 6th 5th 4th
    settled early  '-- to the left --'     '- to the right -'

Shape suffixes: T slots, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from pipeline.spans import Span
    from pipeline.windows import Window


@dataclass(slots=True)
class Sweep:
    """A step that is under way.

    Attributes:
        windows: all that the step predicts, in order.
        weights: each one's share in the average, for each slot that it sees.
        owned: the slots that are advanced.
        first: indices of the windows that settle all that the neighbours wait for.
        rest: the others.
    """

    windows: Sequence[Window]
    weights: Sequence[Sequence[float]]
    owned: Span
    first: tuple[int, ...]
    rest: tuple[int, ...]
    _velocities: dict[int, Tensor] = field(default_factory=dict)
    _waits_for: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waits_for = dict.fromkeys(self.owned, 0)
        for window in self.windows:
            for slot in window.span.intersect(self.owned):
                self._waits_for[slot] += 1

    def add(self, index: int, velocity_TCHW: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Take a window's prediction; give the slots that it settles, each with its velocity."""
        self._velocities[index] = velocity_TCHW
        for slot in self.windows[index].span.intersect(self.owned):
            self._waits_for[slot] -= 1
            if self._waits_for[slot] == 0:
                del self._waits_for[slot]
                yield slot, self._blend(slot)
        for other in list(self._velocities):
            if not any(slot in self._waits_for for slot in self.windows[other].span):
                del self._velocities[other]

    def _blend(self, slot: int) -> Tensor:
        """The weighted mean of the predictions for one slot, in the order of the windows."""
        total_CHW: Tensor | None = None
        weight_sum = 0.0
        for index in sorted(self._velocities):
            span = self.windows[index].span
            weight = self.weights[index][slot - span.start] if _holds(span, slot) else 0.0
            if weight == 0.0:
                continue
            row_CHW = self._velocities[index][slot - span.start]
            if weight != 1.0:
                row_CHW = row_CHW * weight
            total_CHW = row_CHW if total_CHW is None else total_CHW + row_CHW
            weight_sum += weight
        assert total_CHW is not None, f"no window answers for slot {slot}"
        return total_CHW if weight_sum == 1.0 else total_CHW / weight_sum


def sweep(
    windows: Sequence[Window],
    weights: Sequence[Sequence[float]],
    owned: Span,
    to_left: Span,
    to_right: Span,
) -> Sweep:
    """Order a step's windows so that what the neighbours wait for is settled first.

    Args:
        windows: all that the step predicts, in order.
        weights: each one's share in the average, for each slot that it sees.
        owned: the slots that are advanced.
        to_left: owned slots that the left neighbour waits for, at the start; may be empty.
        to_right: the same at the other end.
    """
    indices = range(len(windows))
    left = [i for i in indices if to_left and windows[i].span.start < to_left.stop]
    right = [i for i in indices if to_right and windows[i].span.stop > to_right.start]
    first = tuple(dict.fromkeys([*left, *reversed(right)]))
    return Sweep(windows, weights, owned, first, tuple(i for i in indices if i not in first))


def _holds(span: Span, slot: int) -> bool:
    return span.start <= slot < span.stop
