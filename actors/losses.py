"""What a video has cost in processes and repeated work, and how much of that is too much.

Every death is charged to the step that the segment was at. A step may cost ``max_deaths``
processes, so a video with S segments and N steps costs at most ``S (N + 1) max_deaths``: dying at
ever new steps is progress. A gang may go back to one snapshot ``max_returns`` times; a newer
snapshot starts the count again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.metrics import Retry


def _nobody(kind: Retry, number: int) -> None:
    del kind, number


@dataclass(slots=True)
class Losses:
    """Kept for one video, over all its takes.

    Attributes:
        max_deaths: processes that one step of one segment may cost.
        max_returns: returns of the gang to the same snapshot.
        deaths: processes that died or hung and were replaced.
        replayed_steps: steps that were computed again.
        returns: how often the gang went back to a snapshot.
        restreamed: how often decoding began again.
        tell: is told of each of these as it happens.
    """

    max_deaths: int
    max_returns: int
    deaths: int = 0
    replayed_steps: int = 0
    returns: int = 0
    restreamed: int = 0
    tell: Callable[[Retry, int], None] = _nobody
    _deaths_at: Counter[tuple[int, int]] = field(default_factory=Counter)
    _returns_to: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        assert self.max_deaths >= 1, "the first death must be allowed to be noticed"
        assert self.max_returns >= 1, "a gang must be allowed to go back once"

    def died(self, segment: int, step: int) -> bool:
        """Count a death; says whether the step may be tried again."""
        self.deaths += 1
        self.tell("process_replaced", 1)
        self._deaths_at[segment, step] += 1
        assert self.deaths <= self.max_deaths * len(self._deaths_at), "a step was tried too often"
        return self._deaths_at[segment, step] < self.max_deaths

    def returned(self, step: int) -> bool:
        """Count a return to the snapshot at ``step``; says whether it may be tried from there."""
        self.returns += 1
        self.tell("gang_returned", 1)
        self._returns_to[step] += 1
        return self._returns_to[step] <= self.max_returns

    def replays(self, num_steps: int) -> None:
        """Count steps that are computed again."""
        self.replayed_steps += num_steps
        self.tell("step_replayed", num_steps)

    def restreams(self) -> None:
        """Count a decoding that begins again."""
        self.restreamed += 1
        self.tell("delivery_restarted", 1)
