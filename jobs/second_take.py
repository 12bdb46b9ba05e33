"""A video that overflows, or that the quality gate refuses, is made once more with safe settings.

They are surer and slower: new actors, so that nothing of a process gone wrong is left; the model in
``float32``, so that nothing overflows, and plain, without ``engine.speed``; and Euler's method,
which extrapolates nothing. Everything else is as the row asked: the same seed, prompts, steps and
windows. A video made so says it in its sidecar (``safe_settings``), with the options that were in
force. If that is no better, the row fails by name.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.memory_retry import render_within_memory
from pipeline.engines.speed import SpeedOptions
from pipeline.errors import NotFiniteError, QualityError
from pipeline.plan import plan_video
from pipeline.solvers import SamplerOptions
from storage import keys

if TYPE_CHECKING:
    from actors.take import Watcher
    from jobs.booking import Booking
    from jobs.settings import JobConfig
    from jobs.triage import ToRender
    from pipeline.delivery import Delivered, DeliveryOrder
    from pipeline.plan import VideoPlan
    from pipeline.stores import ObjectStore

logger = logging.getLogger("nightreel.second_take")

# What the model or its arithmetic did to a video, and not a process that died.
WORTH_A_SECOND_TAKE = (NotFiniteError, QualityError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A delivered video, and how it was made in the end.

    Attributes:
        row: the row, with the plan that was carried out.
        config: the configuration that was in force.
        delivered: what lies in the store.
        is_safe: whether it took the safe settings.
    """

    row: ToRender
    config: JobConfig
    delivered: Delivered
    is_safe: bool


def make(
    booking: Booking,
    row: ToRender,
    config: JobConfig,
    order: DeliveryOrder,
    *,
    watcher: Watcher,
    store: ObjectStore,
) -> Made:
    """Render a video, and once more with safe settings if it is not fit to be seen.

    Raises:
        NotFiniteError, QualityError: both times.
        NightreelError: the video can't be made, or the cluster can't serve.
    """

    def usual(settings: JobConfig) -> Delivered:
        if settings is config:
            return booking.render(row.plan, order, watcher)
        return booking.render_with(settings, row.plan, order, watcher)

    video_id = row.plan.request.id
    try:
        delivered, in_force = render_within_memory(usual, config, video_id)
    except WORTH_A_SECOND_TAKE as error:
        logger.warning("video '%s': %s; once more with safe settings", video_id, error)
    else:
        booking.settle(in_force)
        return Made(row=row, config=in_force, delivered=delivered, is_safe=False)
    # Whatever was kept of the first take would bring its faults into the second.
    for key in list(store.list_keys(keys.checkpoints(video_id, row.fingerprint))):
        store.delete(key)
    safe_row = replace(row, plan=_safe_plan(row))
    delivered, in_force = render_within_memory(
        lambda settings: booking.render_with(settings, safe_row.plan, order, watcher),
        safe(config),
        video_id,
    )
    return Made(row=safe_row, config=in_force, delivered=delivered, is_safe=True)


def safe(config: JobConfig) -> JobConfig:
    """The same configuration with the safe settings."""
    return replace(
        config,
        engine=replace(config.engine, dtype="float32", speed=SpeedOptions()),
        sampler=SamplerOptions(solver="euler"),
    )


def _safe_plan(row: ToRender) -> VideoPlan:
    plan = row.plan
    options = replace(plan.options, sampler=SamplerOptions(solver="euler"))
    return plan_video(plan.request, plan.engine, options, plan.image)
