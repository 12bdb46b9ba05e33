"""Takes rows, each in a thread of its own, and sees them through to their ledger records.

Media first, sidecar next, ledger record last: what the ledger names is there, whole. Everything
between is done under a lease, and what a dead driver left is taken up or cleared away first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from jobs.adopt import adopted
from jobs.heartbeat import Heartbeat
from jobs.retention import Retention
from jobs.second_take import make
from jobs.sidecar import sidecar_json
from jobs.tally import Tally
from jobs.triage import AlreadyThere, GivenUp, ToRender, Triage
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.provenance import Provenance
from pipeline.errors import (
    ClusterError,
    ConfigError,
    NightreelError,
    PausedError,
    QualityError,
    StoreAccessError,
    StoreFullError,
    StoreUnavailableError,
    WeightsError,
)
from pipeline.numerics import NUMERICS_VERSION
from pipeline.quality.measure import as_figures
from storage import keys
from storage.lease_record import CLOCK_SKEW_S
from storage.leases import LeaseLostError
from storage.ledger import Ledger
from storage.record import LedgerRecord
from storage.rejected import Rejection

if TYPE_CHECKING:
    from jobs.booking import Booking
    from jobs.orders import Orders
    from jobs.progress import Progress
    from jobs.render import Job, JobSummary
    from pipeline.delivery import Delivered
    from storage.leases import Leases
    from storage.stored import StoreWithListing

# The job itself can't go on after these; after any other error the next row is rendered.
JOB_ERRORS = (
    ClusterError,
    ConfigError,
    PausedError,
    StoreAccessError,
    StoreUnavailableError,
    WeightsError,
)


@dataclass(slots=True)
class Desk:
    """One pass over some rows.

    Attributes:
        waiting: rows that other drivers have.
    """

    job: Job
    triage: Triage
    leases: Leases
    summary: JobSummary
    progress: Progress
    orders: Orders
    waiting: list[ToRender] = field(default_factory=list)
    _store: StoreWithListing = field(init=False)
    _ledger: Ledger = field(init=False)
    _retention: Retention = field(init=False)

    def __post_init__(self) -> None:
        self._store = self.job.store()
        self._ledger = Ledger(self._store)
        self._retention = Retention(self._store, self.job.config.output)

    def settle(self, row: Rejection | AlreadyThere | GivenUp) -> None:
        """Do what is to be done with a row that is not rendered."""
        if isinstance(row, Rejection):
            self.summary.rejected.append(row)
            self.progress.row_rejected(row)
        elif isinstance(row, AlreadyThere):
            self._skip(row)
        else:
            self.summary.failed[row.record.id] = f"{row.record.error}: {row.record.message}"
            self.progress.video_given_up(row.record, row.num_failures)

    def _skip(self, row: AlreadyThere) -> None:
        record = row.record
        if not row.is_current:
            record = self._ledger.settle(replace(record, attempt=0), row.last_attempt)
        self._retention.tidy_leftovers(record)
        self.summary.skipped += 1
        self.progress.video_skipped(record)

    def see_to(self, row: ToRender, booking: Booking) -> None:
        """Render a video, unless another driver has it; what that one did meanwhile counts.

        Raises:
            PausedError: the job is to pause; the row was not begun, or goes on from a snapshot.
            NightreelError: the job can't go on.
        """
        self.orders.check()
        lease = self.leases.acquire(row.plan.request.id, row.fingerprint)
        if lease is None:
            self.waiting.append(row)
            return
        with Heartbeat(lease, self.job.config.lease) as heartbeat:
            now = self.triage.again(row)
            if isinstance(now, ToRender):
                now = self._taken_up(now)
            if isinstance(now, ToRender):
                heartbeat.done = self._render(now, booking, heartbeat)
            else:
                heartbeat.done = isinstance(now, AlreadyThere)
                self.settle(now)

    def _taken_up(self, row: ToRender) -> ToRender | AlreadyThere:
        """Clear away what a dead driver's uploads left, or find that only its record is missing."""
        video_id = row.plan.request.id
        self._sweep(video_id)
        found = adopted(self._store, video_id, row.fingerprint)
        if found is None:
            return row
        kept = self._retention.kept(video_id, row.fingerprint)
        record = self._ledger.settle(
            replace(found, kept=kept, finished_at=_text(datetime.now(UTC))), row.last_attempt
        )
        return AlreadyThere(record=record, is_current=True, last_attempt=record.attempt)

    def _sweep(self, video_id: str) -> None:
        """Give up uploads of a video that nobody completes, now that it is this driver's."""
        for prefix in (keys.videos_of(video_id), keys.checkpoints_of(video_id)):
            self._store.sweep_unfinished(-CLOCK_SKEW_S, prefix)

    def _render(self, row: ToRender, booking: Booking, heartbeat: Heartbeat) -> bool:
        """Render one video and write its ledger record, whatever became of it.

        Returns:
            Whether the ledger has the video now.
        """
        booking.await_turn(row.plan)
        started_at, started_s = datetime.now(UTC), time.monotonic()
        self.progress.video_started(row.plan, row.reason)
        try:
            record = self._delivered(row, booking, heartbeat)
        except JOB_ERRORS:
            raise
        except LeaseLostError as error:
            self.progress.video_left(row.plan.request.id, str(error))
            self.waiting.append(row)
            return False
        except NightreelError as error:
            record = self._failed(row, error)
        mine = replace(
            record,
            started_at=_text(started_at),
            finished_at=_text(datetime.now(UTC)),
            engine=row.plan.engine.name,
            numerics_version=NUMERICS_VERSION,
        )
        record = self._ledger.settle(mine, row.last_attempt)
        if replace(record, attempt=0) != mine:
            self.progress.video_left(record.id, "another driver has delivered it meanwhile")
            self._skip(AlreadyThere(record=record, is_current=True, last_attempt=record.attempt))
            return True
        self._note(record)
        self.progress.video_finished(record, time.monotonic() - started_s)
        return record.state == "rendered"

    def _note(self, record: LedgerRecord) -> None:
        """Note what became of a video, and let go of what it needs no more."""
        if record.state == "failed":
            self.summary.failed[record.id] = f"{record.error}: {record.message}"
            return
        self.summary.rendered.append(record.id)
        self._retention.after_delivery(record.id, record.fingerprint)
        # An upload whose very beginning got no answer is known to nobody.
        self._sweep(record.id)

    def _delivered(self, row: ToRender, booking: Booking, heartbeat: Heartbeat) -> LedgerRecord:
        """Media, then sidecar; the record is what the ledger will say, and is true."""
        video_id = row.plan.request.id
        self.orders.check_video(video_id)
        tally = Tally(self.progress, video_id, heartbeat, self.orders)
        config, order = self.job.config, self._order(row)
        try:
            made = make(booking, row, config, order, watcher=tally, store=self._store)
            booking.leave(is_done=True)
        finally:
            self.orders.at_work(video_id, is_sampling=False)
        self._store.put_bytes(
            keys.sidecar(video_id, row.fingerprint),
            sidecar_json(made, tally.timings(made.delivered.took_s), tally.profiles),
            content_type="application/json",
            overwrite=True,
        )
        kept = self._retention.kept(video_id, row.fingerprint)
        record = replace(_record(row, made.delivered), kept=kept)
        self._ledger.verify(record)
        return record

    def _failed(self, row: ToRender, error: NightreelError) -> LedgerRecord:
        video_id = row.plan.request.id
        # Its latents may be what took the room that the next video needs.
        is_full = isinstance(error, StoreFullError)
        self._retention.after_failure(video_id, row.fingerprint, is_full=is_full)
        return LedgerRecord(
            id=video_id,
            state="failed",
            fingerprint=row.fingerprint,
            error=type(error).__name__,
            message=str(error),
            quality={error.figure: error.value} if isinstance(error, QualityError) else {},
        )

    def _order(self, row: ToRender) -> DeliveryOrder:
        video_id = row.plan.request.id
        return DeliveryOrder(
            checkpoints_prefix=keys.checkpoints(video_id, row.fingerprint),
            keeps_latents=self.job.config.output.keep_latents != "never",
            video_key=keys.video(video_id, row.fingerprint),
            poster_key=keys.poster(video_id, row.fingerprint),
            decode=self.job.config.decode,
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


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
