"""What drives a fleet, real or simulated: told what happened, it says which videos start now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.planning.free_gpus import Node
    from pipeline.planning.roster import Assignment
    from pipeline.planning.task import VideoTask


class Scheduler(Protocol):
    """A rule for giving GPUs to videos. It has no clock: whoever drives it says what time it is."""

    @property
    def num_waiting(self) -> int:
        """Videos that have not started, or have lost their gang."""

    def submit(self, tasks: Iterable[VideoTask]) -> None:
        """More videos are to be rendered."""

    def node_joined(self, node: Node) -> None:
        """A node is there."""

    def node_left(self, name: str) -> list[str]:
        """A node is gone; the videos that had a part in it, each of which is now ``lost``."""

    def next(self, now_s: float) -> list[Assignment]:
        """The videos that start now. Ask again whenever something has happened."""

    def sampled(self, video_id: str) -> None:
        """A video has its latents: all but the first GPU of its gang are free."""

    def finished(self, video_id: str, now_s: float) -> None:
        """A video is delivered, or has failed for good: its GPUs are free."""

    def lost(self, video_id: str, num_steps: int, now_s: float) -> None:
        """A gang is broken up: its video waits again, with so many steps left."""
