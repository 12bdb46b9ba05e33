"""What the actors of a crew are started with, whatever job they work for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from pipeline.engines.registry import read_spec

if TYPE_CHECKING:
    from actors.placement import Share
    from pipeline.engines.registry import EngineSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """An engine and what each actor gets to run it.

    Attributes:
        engine: what they load.
        share: how many there are, and what each gets of the cluster.
        threads: of each one's arithmetic.
    """

    engine: EngineSource
    share: Share
    threads: int

    def digest(self) -> str:
        """The same for actors that may take each other's work without a bit's difference.

        The weights count by their own digest, so that a checkpoint that was replaced where it lies
        is not mistaken for the one that is loaded; so does the job's runtime environment.

        Raises:
            WeightsError, StoreError: the engine's files can't be read.
        """
        weights = read_spec(self.engine.local()).weights_digest
        context = ray.get_runtime_context()
        runtime_env = context.get_runtime_env_string()  # type: ignore[no-untyped-call]
        told = repr((self.engine, weights, self.share, self.threads, runtime_env))
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
