"""One video's use of the studio: its turn on the floor, and what is done when that goes wrong."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from actors.failures import SegmentDiedError
from pipeline.errors import ClusterError, NightreelError

if TYPE_CHECKING:
    from actors.gang import Gang
    from actors.take import Watcher
    from jobs.floor import Floor, Turn
    from jobs.settings import JobConfig
    from jobs.studio import Studio
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.plan import VideoPlan
    from pipeline.planning.task import VideoTask

logger = logging.getLogger("nightreel.booking")


class Booking:
    """Renders one video when it is its turn."""

    def __init__(self, studio: Studio, floor: Floor, task: VideoTask) -> None:
        """Nothing is waited for yet."""
        self._studio, self._floor, self._task = studio, floor, task
        self._turn: Turn | None = None
        self._is_alone = False

    def await_turn(self, plan: VideoPlan) -> None:
        """Wait until the video has actors, and have its prompts encoded meanwhile.

        Raises:
            PausedError: the job is to pause.
            ClusterError: it is being stopped, or there are no actors to be had.
        """
        if self._turn is None:
            self._studio.encode_ahead(plan.prompts)
            self._turn = self._floor.turn(self._task, self._studio.wants_pause)
            if self._is_alone:
                self._floor.clear(self._turn, self._studio.wants_pause)

    def render(self, plan: VideoPlan, order: DeliveryOrder, watcher: Watcher) -> Delivered:
        """Render the video; from its last snapshot once more if its actors were lost.

        Whoever samples the next video on the same actors shall not suffer from a delivery that
        kills them: that is tried again without company. A gang that has actors left has done what
        can be done: then it is the video that kills them.

        Raises:
            NightreelError: the video can't be made, or the cluster can't serve.
        """
        may_lose_all = True
        while True:
            self.await_turn(plan)
            assert self._turn is not None
            places, num_left = self._turn.places, 0
            try:
                gang = self._studio.gang(places)
                try:
                    return self._rendered(gang, plan, order, watcher)
                finally:
                    num_left = len(gang)
            except SegmentDiedError as error:
                was_delivering = self._turn.deliverer is not None
                if self._floor.is_closed:
                    raise ClusterError("the job is being stopped") from error
                if not was_delivering and (num_left or not may_lose_all):
                    raise
                logger.warning("%s; the video waits for actors again", error)
                self._is_alone |= was_delivering
                may_lose_all = was_delivering
                self.leave()
                self._floor.look_around(self._studio.nodes())
            except NightreelError as error:
                if self._floor.is_closed:
                    raise ClusterError("the job is being stopped") from error
                raise

    def render_with(
        self, config: JobConfig, plan: VideoPlan, order: DeliveryOrder, watcher: Watcher
    ) -> Delivered:
        """Render the video with actors that are set up differently, when all others are done.

        Raises:
            NightreelError: as ``render``.
        """
        self.leave()
        with self._floor.alone(self._task, self._studio.wants_pause):
            try:
                self._studio.gather(config)
                gang = self._studio.gang()
                return gang.render(plan, order, watcher, self._studio.wants_pause)
            finally:
                self._studio.dismiss()

    def settle(self, config: JobConfig) -> None:
        """What this video was made with is what the job goes on with, if it changes no bit."""
        self._studio.settle(config)

    def leave(self, *, is_done: bool = False) -> None:
        """The video needs its actors no more; nothing if that was said already."""
        self._turn = None
        self._floor.leave(self._task, is_done=is_done)

    def _rendered(
        self, gang: Gang, plan: VideoPlan, order: DeliveryOrder, watcher: Watcher
    ) -> Delivered:
        wants_pause, hand_on = self._studio.wants_pause, None
        # Whoever decodes with all its actors keeps them to the end.
        if order.keeps_latents and not order.decode.parallel and not self._is_alone:
            assert self._turn is not None
            hand_on = partial(self._floor.hand_on, self._turn, wants_pause)
        return gang.render(plan, order, watcher, wants_pause, hand_on)
