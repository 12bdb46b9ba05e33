"""Stopping a take on purpose: steps that run end, a snapshot is taken, nothing more begins.

The cut is the first that nobody has passed, as for a node that is being drained. A video that goes
on from it is bit-identical to one that was never stopped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import PausedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.cuts import Cuts
    from actors.track import Track

logger = logging.getLogger("nightreel.pause")


def never() -> bool:
    """What a video is asked that is not to be paused."""
    return False


@dataclass(slots=True)
class Pause:
    """One take's way to a stop.

    Attributes:
        wanted: asked often, from the driver's thread; a pause that is taken back before the
            snapshot is taken costs nothing.
        last_step: nothing is computed after this step; ``None`` while nobody wants to pause.
    """

    wanted: Callable[[], bool] = never
    last_step: int | None = None

    def allows(self, step: int) -> bool:
        """Whether a step may still be submitted."""
        return self.last_step is None or step <= self.last_step

    def heed(self, video: str, tracks: Sequence[Track], cuts: Cuts) -> None:
        """Begin to stop if that is wanted, and stop when the snapshot is there.

        Raises:
            PausedError: the newest cut is where the video goes on.
        """
        if not self.wanted():
            self.last_step = None
            return
        if self.last_step is None:
            self.last_step = max(track.next_submit for track in tracks)
            has_begun = self.last_step > min(track.first_step for track in tracks)
            if not has_begun or not cuts.can_store:
                raise PausedError(_at(video, cuts))
            logger.info("video '%s': to be paused after step %d", video, self.last_step)
            cuts.request(self.last_step, always=True)
        if cuts.settled_step > self.last_step:
            raise PausedError(_at(video, cuts))

    def heed_in_delivery(self, video: str, cuts: Cuts) -> None:
        """Give up decoding if the latents that it is done from are safe.

        Raises:
            PausedError: they are, and a pause is wanted.
        """
        if cuts.has_last and self.wanted():
            raise PausedError(_at(video, cuts))


def _at(video: str, cuts: Cuts) -> str:
    return f"video '{video}': paused; it goes on from step {cuts.base_step}"
