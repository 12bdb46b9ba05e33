"""The boundaries that a segment could be replayed from, held as references by the driver.

A boundary is needed twice: by the neighbour's next step, and by whoever replays that step after
the neighbour's process has died. The second need ends with the next whole cut. References are all
that is here; the bytes lie in Ray's object store, which spills to disk when it is full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.handles import StepRefs


@dataclass(slots=True)
class RetainedBoundaries:
    """What each step of each segment gave its neighbours, since the last whole cut.

    Attributes:
        max_bytes: the most that was held at any time, as far as it is known: of finished steps.
    """

    max_bytes: int = 0
    _refs: dict[tuple[int, int], StepRefs] = field(default_factory=dict)
    _bytes: dict[tuple[int, int], int] = field(default_factory=dict)

    def put(self, segment: int, step: int, refs: StepRefs) -> None:
        """Keep what a submitted step will give; where it is kept already, that stays."""
        self._refs.setdefault((segment, step), refs)

    def get(self, segment: int, step: int) -> StepRefs | None:
        """What a step gave or will give, if it is kept."""
        return self._refs.get((segment, step))

    def measured(self, segment: int, step: int, num_bytes: int) -> None:
        """A kept step has finished and gave so much."""
        if (segment, step) in self._refs:
            self._bytes[segment, step] = num_bytes
            self.max_bytes = max(self.max_bytes, self.num_bytes)

    def drop_cone(self, segment: int, step: int, finished: Sequence[int]) -> None:
        """Let go of what a segment's steps from ``step`` on were to give, and of what needs that.

        What one segment fails to give at a step its neighbours fail to give at the next, and so on.
        Whoever waits is given new references when those steps are submitted again.

        Steps of which ``finished`` has more are there already and stay.
        """

        def is_lost(other: int, at: int) -> bool:
            return at >= max(step + abs(other - segment), finished[other])

        self._drop([key for key in self._refs if is_lost(*key)])

    def forget_before(self, step: int) -> None:
        """Let go of what no step that may still be computed needs; Ray then frees it."""
        self._drop([key for key in self._refs if key[1] < step])

    @property
    def num_bytes(self) -> int:
        """Bytes held of finished steps."""
        return sum(self._bytes.values())

    def _drop(self, keys: list[tuple[int, int]]) -> None:
        for key in keys:
            del self._refs[key]
            self._bytes.pop(key, None)
