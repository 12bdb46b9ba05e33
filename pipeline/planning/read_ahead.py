"""A planner that learns of videos little by little, as the real fleet reads them."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.planning.free_gpus import Node
    from pipeline.planning.planner import Planner
    from pipeline.planning.roster import Assignment
    from pipeline.planning.task import VideoTask

# Videos among which the planner chooses, at least; each with its plan, and its image if it has one.
LOOK_AHEAD: Final = 64
# And for each GPU: with fewer it gives its GPUs to the few that it knows, and widens gangs in vain.
LOOK_AHEAD_PER_GPU: Final = 4


def num_ahead(num_gpus: int) -> int:
    """How many videos that wait a planner for so many GPUs should know of."""
    return max(LOOK_AHEAD, LOOK_AHEAD_PER_GPU * num_gpus)


class ReadAhead:
    """Passes everything on to a planner, videos only when it may need them; a ``Scheduler``.

    The planner knows of ``num_ahead`` videos behind those that were to be next at some time
    (``upcoming``), so a manifest of any length takes little memory.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._coming: Iterator[VideoTask] = iter(())
        self._behind: set[str] = set()
        self._sizes: dict[str, int] = {}

    @property
    def num_waiting(self) -> int:
        """Videos that the planner knows of and that don't run; 0 when all have been read too."""
        return self._planner.num_waiting

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        """More videos are to be rendered; they are asked for one by one."""
        self._coming = chain(self._coming, tasks)

    def node_joined(self, node: Node) -> None:
        """See ``Scheduler``."""
        self._sizes[node.name] = node.num_gpus
        self._planner.node_joined(node)

    def node_left(self, name: str) -> list[str]:
        """See ``Scheduler``."""
        self._sizes.pop(name, None)
        return self._planner.node_left(name)

    def next(self, now_s: float) -> list[Assignment]:
        """See ``Scheduler``."""
        started: list[Assignment] = []
        num_gpus = sum(self._sizes.values())
        while True:
            # More than are wanted where a node has left.
            room = max(0, num_ahead(num_gpus) - len(self._behind))
            read = list(islice(self._coming, room))
            self._behind.update(task.id for task in read)
            self._planner.submit(read)
            begun = self._planner.next(now_s)
            self._behind.difference_update(each.task.id for each in begun)
            self._behind.difference_update(self._planner.upcoming(num_gpus))
            started += begun
            if not read and not begun:
                return started

    def sampled(self, video_id: str) -> None:
        """See ``Scheduler``."""
        self._planner.sampled(video_id)

    def finished(self, video_id: str, now_s: float) -> None:
        """See ``Scheduler``."""
        self._planner.finished(video_id, now_s)

    def lost(self, video_id: str, num_steps: int, now_s: float) -> None:
        """See ``Scheduler``."""
        self._planner.lost(video_id, num_steps, now_s)
