"""From a manifest, or a queued request, to its estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.config import load_config
from jobs.engine_source import engine_spec
from jobs.estimate import VideoWork, estimate, work_of
from jobs.measured_pace import pace_for
from jobs.triage import AlreadyThere, ToRender, Triage
from storage.ledger import Ledger
from storage.manifest import Manifest
from storage.open import open_store
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.estimate import Estimate
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
        UserError: the manifest or the engine can't be read.
        StoreError: a store refused.
    """
    engine = engine_spec(config)
    stores = [open_store(uri, s3=config.store) for uri in (*([output] if output else []), *sources)]
    ledger = Ledger(stores[0]) if output else None
    rows = Triage(config, engine, ledger).rows(Manifest.open(manifest, s3=config.store))
    num_actors = _num_actors(config, num_gpus)
    counts = {AlreadyThere: 0, Rejection: 0}

    def works() -> Iterator[VideoWork]:
        known: dict[object, VideoWork] = {}
        for row in rows:
            if isinstance(row, ToRender):
                yield _counted(row.plan, num_actors, known)
            elif isinstance(row, AlreadyThere):
                counts[AlreadyThere] += 1
            else:
                counts[Rejection] += 1

    held_gpus = num_actors * config.gang.gpus_per_actor
    found = estimate(
        works(), pace_for(config, engine, stores, hardware), num_gpus=min(num_gpus, held_gpus)
    )
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


def _counted(plan: VideoPlan, num_actors: int, known: dict[object, VideoWork]) -> VideoWork:
    """Videos of one length and size take the same: they are counted once."""
    request = plan.request
    kind = (
        *(request.num_frames, request.fps, request.width, request.height),
        *(request.num_inference_steps, plan.is_guided),
    )
    if kind not in known:
        known[kind] = work_of(plan, num_actors)
    return known[kind]
