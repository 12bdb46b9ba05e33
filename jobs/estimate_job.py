"""From a manifest, or a queued request, to its estimate."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.config import load_config
from jobs.engine_source import engine_spec
from jobs.estimate import estimate
from jobs.measured_pace import pace_for
from jobs.planned_work import PlannedWork
from jobs.simulated_job import simulate_job
from jobs.triage import AlreadyThere, ToRender, Triage
from jobs.turns import in_turn
from storage.ledger import Ledger
from storage.manifest import Manifest
from storage.open import open_store
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.estimate import Estimate, Pace
    from jobs.settings import JobConfig
    from pipeline.plan import VideoPlan
    from storage.job_request import JobRequest


def estimate_manifest(
    manifest: str,
    config: JobConfig,
    *,
    output: str | None = None,
    num_gpus: int = 1,
    sources: Sequence[str] = (),
    hardware: str | None = None,
) -> Estimate:
    """What is still to be rendered of a manifest, and what it will take.

    Args:
        manifest: its URI.
        config: the job's.
        output: where it is rendered to; videos that are there are not counted.
        num_gpus: GPUs, or CPU cores where there are none.
        sources: outputs whose finished videos tell how long things take, besides ``output``.
        hardware: take only what was measured on this.

    Raises:
        UserError: the manifest or the engine can't be read, or there are too few GPUs for a gang.
        StoreError: a store refused.
    """
    engine = engine_spec(config)
    stores = [open_store(uri, s3=config.store) for uri in (*([output] if output else []), *sources)]
    ledger = Ledger(stores[0]) if output else None
    rows = Triage(config, engine, ledger).each(in_turn(Manifest.open(manifest, s3=config.store)))
    counts = {AlreadyThere: 0, Rejection: 0}

    def plans() -> Iterator[VideoPlan]:
        for row in rows:
            if isinstance(row, ToRender):
                yield row.plan
            elif isinstance(row, AlreadyThere):
                counts[AlreadyThere] += 1
            else:
                counts[Rejection] += 1

    pace, num_actors = pace_for(config, engine, stores, hardware), _num_actors(config, num_gpus)
    job = simulate_job(plans(), _work(config, pace), num_actors)
    held_gpus = num_actors * config.gang.gpus_per_actor
    found = estimate(job, pace, num_gpus=min(num_gpus, held_gpus))
    return replace(found, num_skipped=counts[AlreadyThere], num_rejected=counts[Rejection])


def estimate_request(
    request: JobRequest, *, num_gpus: int = 1, sources: Sequence[str] = ()
) -> Estimate:
    """What a queued job will take; see ``estimate_manifest`` and ``estimate.refuse_if_above``."""
    config = load_config(overrides=request.settings)
    return estimate_manifest(
        request.manifest, config, output=request.output, num_gpus=num_gpus, sources=sources
    )


def _num_actors(config: JobConfig, num_gpus: int) -> int:
    room = max(1, int(num_gpus / config.gang.gpus_per_actor))
    return room if config.gang.actors == "auto" else min(config.gang.actors, room)


def _work(config: JobConfig, pace: Pace | None) -> PlannedWork:
    """As a driver would have it that began now; its clock stands at 0."""
    wanted, now_s = config.gang.actors_per_video, time.time()
    gang = None if wanted == "auto" else wanted
    return PlannedWork(pace, lambda: now_s, lambda: 0.0, gang)
