"""The driver: a manifest becomes finished videos; ``render`` is the map of the whole.

    manifest row --triage--> plan --studio--> delivered objects --sidecar--> --ledger--> results

Media first, sidecar next, ledger record last: what the ledger names is there, whole.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from jobs.second_take import make
from jobs.sidecar import Timings, sidecar_json
from jobs.studio import Studio
from jobs.triage import AlreadyThere, ToRender, Triage
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.provenance import Provenance
from pipeline.engines.registry import read_spec
from pipeline.errors import (
    ClusterError,
    ManifestError,
    NightreelError,
    QualityError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    WeightsError,
)
from pipeline.numerics import NUMERICS_VERSION
from pipeline.quality.measure import as_figures
from storage import keys
from storage.ledger import Ledger
from storage.manifest import Manifest
from storage.record import LedgerRecord
from storage.rejected import Rejection, put_rejected
from storage.results import put_results

if TYPE_CHECKING:
    from actors.segment import StepReport
    from jobs.progress import Progress
    from jobs.settings import JobConfig
    from pipeline.delivery import Delivered
    from pipeline.stores import ObjectStore, StoreFactory

# The job itself can't go on after these; after any other error the next row is rendered.
JOB_ERRORS = (ClusterError, StoreAccessError, StoreUnavailableError, WeightsError)


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
    store: StoreFactory
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


def render(job: Job, progress: Progress) -> JobSummary:
    """Render every row of a manifest that is not rendered yet.

    Raises:
        UserError: the manifest or the engine's weights can't be read, or ``strict`` refuses it.
        ClusterError, StoreError: the job can't go on; run it again.
    """
    started_s = time.monotonic()
    store = job.store()
    store.check()
    manifest = Manifest.open(job.manifest, s3=job.config.store)
    triage = Triage(job.config, read_spec(job.config.engine), Ledger(store))
    if job.strict:
        _refuse_if_any_is_bad(manifest, triage)
    summary = JobSummary()
    progress.job_started(manifest.num_rows)
    try:
        with Studio(job.config, job.store, "render") as studio:
            desk = _Desk(job, store, studio, summary, progress)
            for row in triage.rows(manifest):
                desk.take(row)
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


def _write_tables(store: ObjectStore, summary: JobSummary) -> None:
    """What this run rejected, and what the ledger holds of all runs."""
    put_rejected(store, summary.rejected)
    put_results(store, Ledger(store).latest())


def _refuse_if_any_is_bad(manifest: Manifest, triage: Triage) -> None:
    rows = replace(triage, ledger=None).rows(manifest)
    bad = next((row for row in rows if isinstance(row, Rejection)), None)
    if bad is not None:
        raise ManifestError(f"--strict: {manifest.uri} is refused because of a bad row: {bad}")


@dataclass(frozen=True, slots=True)
class _Desk:
    """Takes rows one at a time and sees each through to its ledger record."""

    job: Job
    store: ObjectStore
    studio: Studio
    summary: JobSummary
    progress: Progress

    def take(self, row: ToRender | AlreadyThere | Rejection) -> None:
        """Do what is to be done with one row."""
        if isinstance(row, Rejection):
            self.summary.rejected.append(row)
            self.progress.row_rejected(row)
        elif isinstance(row, AlreadyThere):
            if not row.is_current:
                Ledger(self.store).append(replace(row.record, attempt=0))
            self.summary.skipped += 1
            self.progress.video_skipped(row.record)
        else:
            self._render(row)

    def _render(self, row: ToRender) -> None:
        """Render one video and write its ledger record, whatever became of it."""
        started_at, started_s = datetime.now(UTC), time.monotonic()
        self.progress.video_started(row.plan, row.reason)
        try:
            record = self._delivered(row)
        except JOB_ERRORS:
            raise
        except NightreelError as error:
            if isinstance(error, StoreFullError):
                # Its latents may be what took the room that the next video needs.
                self._tidy(row)
            record = LedgerRecord(
                id=row.plan.request.id,
                state="failed",
                fingerprint=row.fingerprint,
                error=type(error).__name__,
                message=str(error),
                quality={error.figure: error.value} if isinstance(error, QualityError) else {},
            )
        record = Ledger(self.store).append(
            replace(
                record,
                started_at=started_at.isoformat(timespec="milliseconds"),
                finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                engine=row.plan.engine.name,
                numerics_version=NUMERICS_VERSION,
            )
        )
        if record.state == "rendered":
            self.summary.rendered.append(record.id)
            self._tidy(row)
        else:
            self.summary.failed[record.id] = f"{record.error}: {record.message}"
        self.progress.video_finished(record, time.monotonic() - started_s)

    def _delivered(self, row: ToRender) -> LedgerRecord:
        """Media, then sidecar; the record is what the ledger will say."""
        video_id = row.plan.request.id
        tally = _Tally(self.progress, video_id)
        config = self.job.config
        order = self._order(row)
        made = make(self.studio, row, config, order, watcher=tally, store=self.store)
        self.store.put_bytes(
            keys.sidecar(video_id, row.fingerprint),
            sidecar_json(made, tally.timings()),
            content_type="application/json",
            overwrite=True,
        )
        return _record(row, made.delivered)

    def _tidy(self, row: ToRender) -> None:
        """Remove snapshots that were only kept until the video is safe."""
        if self.job.config.output.keep_latents != "always":
            prefix = keys.checkpoints(row.plan.request.id, row.fingerprint)
            for key in list(self.store.list_keys(prefix)):
                self.store.delete(key)

    def _order(self, row: ToRender) -> DeliveryOrder:
        video_id = row.plan.request.id
        keeps = self.job.config.output.keep_latents != "never"
        return DeliveryOrder(
            checkpoints_prefix=keys.checkpoints(video_id, row.fingerprint),
            keeps_latents=keeps,
            video_key=keys.video(video_id, row.fingerprint),
            poster_key=keys.poster(video_id, row.fingerprint),
            encode=self.job.config.encode,
            quality=self.job.config.quality,
            provenance=Provenance(
                title=row.plan.timeline.prompts[0],
                engine=row.plan.engine.name,
                version=version("nightreel"),
            ),
        )


def _record(row: ToRender, delivered: Delivered) -> LedgerRecord:
    info = delivered.info
    return LedgerRecord(
        id=row.plan.request.id,
        state="rendered",
        fingerprint=row.fingerprint,
        key=delivered.video.key,
        size_bytes=delivered.video.size_bytes,
        crc32=delivered.video.crc32,
        num_frames=info.num_frames,
        duration_s=float(info.duration_s),
        width=info.width,
        height=info.height,
        fps=float(info.fps),
        quality=as_figures(delivered.quality) if delivered.quality else {},
    )


class _Tally:
    """Adds up what the gang tells of one video, and passes it on; an attempt starts it anew."""

    def __init__(self, progress: Progress, video_id: str) -> None:
        self._progress, self._id = progress, video_id
        self._begun_s = time.monotonic()
        self._reports: list[StepReport] = []
        self._sampling_s = (0.0, 0.0)
        self._num_segments = 0

    def on_start(self, num_segments: int, first_step: int) -> None:
        self._num_segments = num_segments
        self._reports.clear()
        now_s = time.monotonic()
        self._sampling_s = (now_s, now_s)
        self._progress.sampling_started(self._id, num_segments, first_step)

    def on_step(self, report: StepReport) -> None:
        self._reports.append(report)
        self._sampling_s = (self._sampling_s[0], time.monotonic())
        self._progress.step_done(self._id, report.segment, report.step)

    def on_frames(self, num_frames: int) -> None:
        self._progress.frames_done(self._id, num_frames)

    def timings(self) -> Timings:
        return Timings(
            total_s=round(time.monotonic() - self._begun_s, 3),
            sampling_s=round(self._sampling_s[1] - self._sampling_s[0], 3),
            compute_s=round(sum(report.compute_s for report in self._reports), 3),
            num_windows=sum(report.num_windows for report in self._reports),
            boundary_bytes=sum(report.sent_bytes for report in self._reports),
            num_segments=self._num_segments,
        )
