"""What is to be done with each row of a manifest: render, skip, or reject with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.config import numeric_options
from pipeline.errors import ConfigError, RequestError
from pipeline.plan import RenderOptions, plan_video
from pipeline.request import resolve
from storage.fingerprint import fingerprint
from storage.rejected import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.settings import JobConfig
    from pipeline.engines.protocol import EngineSpec
    from pipeline.plan import VideoPlan
    from storage.ledger import Ledger
    from storage.manifest import Manifest, ManifestRow
    from storage.record import LedgerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRender:
    """A video that has to be made; ``reason`` says why an earlier one does not count."""

    plan: VideoPlan
    fingerprint: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyThere:
    """A video that an earlier run delivered, verified in the store just now.

    ``is_current`` is false where another request for the same id was rendered since.
    """

    record: LedgerRecord
    is_current: bool


@dataclass(frozen=True, slots=True)
class Triage:
    """Sorts rows as they come; holds none of them."""

    config: JobConfig
    engine: EngineSpec
    ledger: Ledger | None = None

    def rows(self, manifest: Manifest) -> Iterator[ToRender | AlreadyThere | Rejection]:
        """Every row of the manifest, in order."""
        for row in manifest.rows():
            yield row if isinstance(row, Rejection) else self._sorted(row)

    def _sorted(self, row: ManifestRow) -> ToRender | AlreadyThere | Rejection:
        try:
            plan = self.plan(row)
        except RequestError as error:
            return row.reject(error)
        name = fingerprint(
            plan.request,
            weights_digest=self.engine.weights_digest,
            options=numeric_options(self.config),
        )
        if self.ledger is None:
            return ToRender(plan=plan, fingerprint=name, reason="")
        verdict = self.ledger.finished(plan.request.id, name)
        if verdict.done and verdict.record is not None:
            return AlreadyThere(record=verdict.record, is_current=verdict.current)
        return ToRender(plan=plan, fingerprint=name, reason=verdict.reason)

    def plan(self, row: ManifestRow) -> VideoPlan:
        """The plan of one row.

        Raises:
            RequestError: the engine can't make it.
        """
        config = self.config
        options = RenderOptions(
            boundary=config.boundary,
            noise=config.noise,
            sampler=config.sampler,
            prompts=config.prompts,
        )
        try:
            return plan_video(resolve(row.spec, config.defaults, self.engine), self.engine, options)
        except ConfigError as error:
            raise RequestError("boundary", config.boundary.mode, str(error)) from error
