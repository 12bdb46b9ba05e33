"""What is to be done with each row of a manifest: render, skip, give up, or reject with reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobs.config import numeric_options
from pipeline.errors import ConfigError, ImageError, RequestError
from pipeline.image import fitted, requested_image
from pipeline.plan import plan_video
from pipeline.request import resolve
from storage.fingerprint import fingerprint
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobs.settings import JobConfig
    from jobs.veto import Veto
    from pipeline.engines.protocol import EngineSpec
    from pipeline.image import FittedImage
    from pipeline.plan import VideoPlan
    from pipeline.request import VideoRequest
    from storage.images import ImageSource
    from storage.ledger import Ledger
    from storage.manifest import Manifest, ManifestRow
    from storage.record import LedgerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRender:
    """A video that has to be made.

    Attributes:
        reason: why an earlier one does not count; empty if there is none.
        last_attempt: number of its newest ledger record, 0 if it has none.
        num_failures: failures that count against it.
    """

    plan: VideoPlan
    fingerprint: str
    reason: str
    last_attempt: int = 0
    num_failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyThere:
    """A video that an earlier run delivered, verified in the store just now.

    ``is_current`` is false where another request for the same id was tried since; ``last_attempt``
    is the number of that attempt.
    """

    record: LedgerRecord
    is_current: bool
    last_attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A video that is not tried again: it failed too often, or another driver just saw it fail."""

    record: LedgerRecord
    num_failures: int


Triaged = ToRender | AlreadyThere | GivenUp | Rejection


@dataclass(frozen=True, slots=True)
class Triage:
    """Sorts rows as they come; holds none of them.

    ``veto`` is asked about a row that would be rendered, when its turn comes.
    """

    config: JobConfig
    engine: EngineSpec
    ledger: Ledger | None = None
    veto: Veto | None = None
    _images: ImageSource = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_images", self.config.image_source)

    def rows(self, manifest: Manifest) -> Iterator[Triaged]:
        """Every row of the manifest, in its own order."""
        return self.each(manifest.rows())

    def each(self, rows: Iterable[ManifestRow | Rejection]) -> Iterator[Triaged]:
        """Rows in the order in which they come."""
        for row in rows:
            yield row if isinstance(row, Rejection) else self._sorted(row)

    def again(self, row: ToRender) -> Triaged:
        """Look at a row once more: another driver may have seen to it meanwhile."""
        return self._looked_up(row, min(self.config.job.max_attempts, row.num_failures + 1))

    def _sorted(self, row: ManifestRow) -> Triaged:
        try:
            plan = self.plan(row)
        except RequestError as error:
            return row.reject(error)
        name = fingerprint(
            plan.request,
            weights_digest=self.engine.weights_digest,
            options=numeric_options(self.config),
        )
        row_to_render = ToRender(plan=plan, fingerprint=name, reason="")
        found = self._looked_up(row_to_render, self.config.job.max_attempts)
        if self.veto is not None and isinstance(found, ToRender):
            try:
                self.veto.check(plan.request)
            except RequestError as error:
                return row.reject(error)
        return found

    def _looked_up(self, row: ToRender, max_attempts: int) -> Triaged:
        """What the ledger makes of a row."""
        if self.ledger is None:
            return row
        verdict = self.ledger.finished(row.plan.request.id, row.fingerprint)
        if verdict.done and verdict.record is not None:
            return AlreadyThere(
                record=verdict.record,
                is_current=verdict.current,
                last_attempt=verdict.last_attempt,
            )
        failure, num_failures = verdict.last_failure, verdict.num_failures
        if failure is not None and num_failures >= max_attempts:
            return GivenUp(record=failure, num_failures=num_failures)
        return replace(
            row,
            reason=verdict.reason,
            last_attempt=verdict.last_attempt,
            num_failures=num_failures,
        )

    def plan(self, row: ManifestRow) -> VideoPlan:
        """The plan of one row.

        Raises:
            RequestError: the engine can't make it, or its image can't be used.
            StoreError: the server that has its image can't be reached.
        """
        config = self.config
        request = resolve(row.spec, config.defaults, self.engine)
        image: FittedImage | None = None
        if row.spec.image is not None:
            image = self._fitted(row.spec.image, request)
            request = replace(
                request,
                image=requested_image(image, config.image, self.engine),
                image_uri=row.spec.image,
            )
        try:
            return plan_video(request, self.engine, config.render_options, image)
        except ConfigError as error:
            raise RequestError("boundary", config.boundary.mode, str(error)) from error

    def _fitted(self, uri: str, request: VideoRequest) -> FittedImage:
        """A row's image, read anew each time: its content is part of the video's name."""
        try:
            data = self._images.read(uri)
            return fitted(data, request.width, request.height, self.config.image)
        except ImageError as error:
            raise RequestError("image", uri, str(error)) from error
