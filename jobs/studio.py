"""A job's cluster and gang: there when a video first needs them, replaced when they break."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from actors.cluster import connected
from actors.failures import SegmentDiedError
from actors.gang import Gang
from actors.pause import never
from jobs.engine_source import engine_source
from pipeline.engines.wan.memory_profile import PROFILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from actors.take import Watcher
    from jobs.settings import JobConfig
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.plan import VideoPlan
    from pipeline.stores import StoreFactory

logger = logging.getLogger("nightreel.studio")


class Studio:
    """Renders videos one after another on warm actors. Use as a context manager."""

    def __init__(
        self,
        config: JobConfig,
        store: StoreFactory,
        job: str,
        wants_pause: Callable[[], bool] = never,
    ) -> None:
        """Nothing starts yet: a job in which everything is done already needs no cluster."""
        self._config, self._store, self._job = config, store, job
        self._wants_pause = wants_pause
        self._cluster = ExitStack()
        self._gang: Gang | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._dismiss()
        self._cluster.close()

    def render(self, plan: VideoPlan, order: DeliveryOrder, watcher: Watcher) -> Delivered:
        """Render one video; if no actor is left of the gang, once more with a new one.

        A gang that has actors left has done what can be done: then it is the video that kills them.

        Raises:
            NightreelError: the video can't be made, or the cluster can't serve.
        """
        try:
            return self._ready().render(plan, order, watcher, self._wants_pause)
        except SegmentDiedError as error:
            if self.num_actors:
                raise
            self._dismiss()
            logger.warning("%s; trying again with a new gang", error)
        return self._ready().render(plan, order, watcher, self._wants_pause)

    def render_with(
        self, config: JobConfig, plan: VideoPlan, order: DeliveryOrder, watcher: Watcher
    ) -> Delivered:
        """Render one video on a gang of its own that is set up differently.

        Raises:
            NightreelError: as ``render``.
        """
        usual = self._config
        self._dismiss()
        self._config = config
        try:
            return self.render(plan, order, watcher)
        finally:
            self._dismiss()
            self._config = usual

    def settle(self, config: JobConfig) -> None:
        """Set up the next gang like this, if its memory profile changes no bit."""
        profile = PROFILES.get(config.engine.profile)
        if profile is not None and profile.is_exact:
            self._config = config

    @property
    def num_actors(self) -> int:
        """Actors of the gang, 0 while there is none."""
        return 0 if self._gang is None else len(self._gang)

    def _ready(self) -> Gang:
        if self._gang is None:
            self._cluster.enter_context(connected(self._config.ray))
            self._gang = Gang(
                engine_source(self._config),
                self._config.gang,
                self._store,
                self._job,
                self._config.checkpoint,
            )
        return self._gang

    def _dismiss(self) -> None:
        gang, self._gang = self._gang, None
        if gang is not None:
            gang.close()
