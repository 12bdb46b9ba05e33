"""The driver: a manifest becomes finished videos; ``render`` is the map of the whole.

    manifest row --triage--> lease --> studio --delivered--> sidecar --> ledger --> results

Any number of drivers may share an output URI. A row that another one renders is left alone and
looked at again at the end, until it is done, or its driver is dead and the video can be had.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from jobs.desk import Desk
from jobs.engine_source import engine_spec
from jobs.job_name import job_name
from jobs.measured_pace import pace_for
from jobs.metrics import JobMetrics
from jobs.orders import Orders
from jobs.progress_fan import ProgressFan
from jobs.report.watching import PageProgress
from jobs.shift import Shift
from jobs.studio import Studio
from jobs.triage import Triage
from jobs.turns import in_turn
from jobs.veto import Veto
from pipeline.errors import (
    ManifestError,
    StoreAccessError,
    StoreError,
    StoreUnavailableError,
)
from storage.leases import Leases
from storage.ledger import Ledger
from storage.manifest import Manifest
from storage.rejected import Rejection, put_rejected
from storage.results import put_results, read_results

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.estimate import Pace
    from jobs.progress import Progress
    from jobs.settings import JobConfig
    from jobs.triage import ToRender, Triaged
    from pipeline.stores import ObjectStore
    from storage.open import StoreConfig

LOG = logging.getLogger("nightreel.render")

# How often other drivers' videos are looked at while nothing else is to be done.
LONGEST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked of one run.

    Attributes:
        manifest: path or URI.
        store: opens the output URI, here and on every actor's node.
        config: everything else.
        strict: refuse the manifest if any row is bad.
    """

    manifest: str
    store: StoreConfig
    config: JobConfig
    strict: bool = False


@dataclass(slots=True)
class JobSummary:
    """What became of a manifest's rows."""

    rendered: list[str] = field(default_factory=list)
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether every row is a finished video now."""
        return not self.failed and not self.rejected


def render(job: Job, progress: Progress, orders: Orders | None = None) -> JobSummary:
    """Render every row of a manifest that is not rendered yet.

    Args:
        job: what is asked.
        progress: told of all that happens.
        orders: what is asked while it runs; ``None``: nothing.

    Raises:
        PausedError: the job was to pause, and has.
        UserError: the manifest or the engine's weights can't be read, or ``strict`` refuses it.
        ClusterError, StoreError: the job can't go on; run it again.
    """
    started_s = time.monotonic()
    store = job.store()
    store.check()
    manifest = Manifest.open(job.manifest, s3=job.config.store)
    triage = Triage(job.config, engine_spec(job.config), Ledger(store), Veto.of(job.config.hooks))
    if job.strict:
        _refuse_if_any_is_bad(manifest, triage)
    summary = JobSummary()
    page = PageProgress(progress, store, manifest)
    progress = ProgressFan(page, JobMetrics(job_name()))
    progress.job_started(manifest.num_rows)
    leases = Leases(store, job.config.lease)
    pace = pace_for(job.config, triage.engine, [store])
    driver = _Driver(job, triage, leases, summary, progress, orders or Orders(), pace)
    try:
        driver.see_to(triage.each(in_turn(manifest)))
    except (StoreUnavailableError, StoreAccessError):
        # What can't be reached can't be written to either.
        raise
    except BaseException:
        with suppress(StoreError):
            _write_tables(store, summary)
        raise
    else:
        _write_tables(store, summary)
    finally:
        summary.duration_s = time.monotonic() - started_s
        progress.job_finished(summary)
    return summary


@dataclass(frozen=True, slots=True)
class _Driver:
    """Goes through the rows, and again through those that other drivers had."""

    job: Job
    triage: Triage
    leases: Leases
    summary: JobSummary
    progress: Progress
    orders: Orders
    pace: Pace | None

    def see_to(self, rows: Iterable[Triaged]) -> None:
        """Settle every row."""
        waiting = self._pass(rows)
        if waiting:
            names = ", ".join(row.plan.request.id for row in waiting)
            LOG.warning("waiting for what other drivers render: %s", names)
        while waiting:
            self.orders.check()
            time.sleep(min(LONGEST_PAUSE_S, self.job.config.lease.ttl_s / 4))
            waiting = self._pass(self.triage.again(row) for row in waiting)

    def _pass(self, rows: Iterable[Triaged]) -> list[ToRender]:
        """Settle the rows that can be had; give those that others have.

        Actors are not kept from others while this driver waits.
        """
        desk = Desk(self.job, self.triage, self.leases, self.summary, self.progress, self.orders)
        wants_pause = self.orders.wants_pause
        with Studio(self.job.config, self.job.store, job_name(), wants_pause) as studio:
            Shift(desk, studio, self.pace).see_to(rows)
        return desk.waiting


def _write_tables(store: ObjectStore, summary: JobSummary) -> None:
    """What this run rejected, and what the ledger holds of all runs."""
    put_rejected(store, summary.rejected)
    put_results(store, Ledger(store).latest(read_results(store)))


def _refuse_if_any_is_bad(manifest: Manifest, triage: Triage) -> None:
    rows = replace(triage, ledger=None).rows(manifest)
    bad = next((row for row in rows if isinstance(row, Rejection)), None)
    if bad is not None:
        raise ManifestError(f"--strict: {manifest.uri} is refused because of a bad row: {bad}")
