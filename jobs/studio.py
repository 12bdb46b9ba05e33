"""A job's cluster and actors: there when a video first needs them, gathered anew when need be."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from actors.cluster import connected
from actors.crew import Crew
from actors.gang import Gang
from actors.pause import never
from jobs.engine_source import engine_source
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from jobs.settings import JobConfig
    from pipeline.stores import StoreFactory


class Studio:
    """Warm actors, and gangs of them. Use as a context manager.

    Attributes:
        wants_pause: whether videos are to stop at their next snapshots.
    """

    def __init__(
        self,
        config: JobConfig,
        store: StoreFactory,
        job: str,
        wants_pause: Callable[[], bool] = never,
    ) -> None:
        """Nothing starts yet: a job in which everything is done already needs no cluster."""
        self._config, self._store, self._job = config, store, job
        self.wants_pause = wants_pause
        self._cluster = ExitStack()
        self._crew: Crew | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.dismiss(keeps=True)
        self._cluster.close()

    def gather(self, config: JobConfig | None = None) -> dict[int, str]:
        """Send home who is there and start others; the node of each one's place.

        Args:
            config: what they are set up with; ``None``: as the job says.

        Raises:
            ClusterError: the cluster can't be reached or has no room.
            WeightsError: the engine's weights are missing or damaged.
        """
        self.dismiss()
        config = config or self._config
        self._cluster.enter_context(connected(config.ray))
        crew = Crew(engine_source(config), config.gang, self._store, self._job)
        with self._lock:
            self._crew = crew
        return crew.nodes()

    def gang(self, places: Iterable[int] | None = None) -> Gang:
        """Those who are in these places; ``None``: all.

        Raises:
            ClusterError: they were sent home.
        """
        if (crew := self._crew) is None:
            raise ClusterError("the actors were sent home")
        config = self._config
        return Gang(
            crew,
            config.gang,
            self._store,
            job=self._job,
            checkpoint=config.checkpoint,
            places=places,
        )

    def nodes(self) -> dict[int, str]:
        """The living node of every place that is on one."""
        return {} if (crew := self._crew) is None else crew.nodes()

    def encode_ahead(self, prompts: Iterable[str]) -> None:
        """Have prompts encoded that videos will need, by any actor, between its steps."""
        if (crew := self._crew) is not None:
            for handle in crew.handles()[:1]:
                crew.prompts.encode(prompts, handle)

    def settle(self, config: JobConfig) -> None:
        """Set up actors like this from now on, if its memory profile changes no bit."""
        profile = PROFILES.get(config.engine.profile)
        if profile is not None and profile.is_exact:
            self._config = config

    def dismiss(self, *, keeps: bool = False) -> None:
        """Send the actors home, whatever they do; nothing if that is done already.

        Args:
            keeps: they do nothing, and ``gang.keep_warm_s`` counts.
        """
        with self._lock:
            crew, self._crew = self._crew, None
        if crew is not None:
            crew.close(keeps=keeps)
