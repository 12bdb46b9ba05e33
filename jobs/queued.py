"""The driver of a queued job, as the dispatcher starts it: ``python -m jobs.queued JOB``.

It is ``render`` with two additions: it heeds what the job's log asks of it, and it writes there
what became of it. What it wrote is final; only if it could write nothing does the dispatcher.

    every row seen to                    finished, with the exit code that render would have (0, 3)
    pause asked, and done                paused
    cancelled                            cancelled
    cluster or store failed (exit 4)     lost, so that it is started again; failed after so many
    anything else, such as a bad row     failed
      with strict, or a bug
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from jobs.admission import WINDOW, AdmissionRules, is_paused_by_window, num_tries
from jobs.cancelled_videos import CancelledVideos
from jobs.config import load_config
from jobs.exit_codes import ExitCode, code_of, code_of_summary
from jobs.hooks import run_hook
from jobs.orders import QueueOrders, last_start
from jobs.queued_progress import QueuedProgress
from jobs.render import Job, render
from jobs.store_settings import load_store_options
from jobs.transcript import Transcript
from pipeline.errors import NightreelError, PausedError, StoreError
from storage.holder import this_process
from storage.job_log import NotAllowedError
from storage.job_queue import JobQueue
from storage.open import StoreConfig, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.hooks import HookEvent
    from jobs.render import JobSummary
    from jobs.settings import JobConfig
    from storage.job_log import JobEvent

LOG = logging.getLogger("nightreel.queued")

BUG: Final = 1
# Of what failed, so much is told in the job's log; the ledger has all.
_MAX_NAMED: Final = 20
_MAX_REASON: Final = 1000


@dataclass(slots=True)
class Outcome:
    """What a driver says at its end: an event, its reason, and the exit code of the process."""

    event: JobEvent
    exit_code: int
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Driver:
    """One start of one job."""

    def __init__(self, queue: JobQueue, job_id: str) -> None:
        self._queue = queue
        self._log = queue.log(job_id)
        self._job = queue.job(job_id)
        self._start = last_start(self._job.events)
        self._by = str(this_process())

    def run(self) -> int:
        """Render, and write what became of it; gives the exit code."""
        request = self._job.request
        cancelled = CancelledVideos(self._queue.store, request.id)
        progress: list[QueuedProgress] = []

        def figures() -> dict[str, Any]:
            return progress[0].figures() if progress else {}

        said = Transcript(
            self._queue.store, request.id, self._start, echo=sys.stderr, progress=figures
        )
        with said:
            logging.basicConfig(
                level=logging.INFO,
                format="%(asctime)s %(levelname)s %(name)s: %(message)s",
                stream=said,
            )
            progress.append(QueuedProgress(said))  # type: ignore[arg-type]
            try:
                with QueueOrders(self._log, self._start, cancelled) as orders:
                    return self._until_settled(orders, progress[0])
            except StoreError as error:
                LOG.error("%s: the dispatcher will notice", error)  # noqa: TRY400
                return ExitCode.TRY_AGAIN

    def _until_settled(self, orders: QueueOrders, progress: QueuedProgress) -> int:
        """A pause that was taken back while it was being obeyed is no end."""
        while True:
            config: JobConfig | None = None
            started_s = time.monotonic()
            try:
                config = load_config(overrides=[*self._job.request.settings, "ray.address=auto"])
                outcome = self._outcome(config, orders, progress)
            except NightreelError as error:
                outcome = self._failed(error)
            except KeyboardInterrupt:
                outcome = self._interrupted(orders)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                LOG.exception("a bug")
                reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
                outcome = Outcome("failed", BUG, reason, {"exit_code": BUG})
            orders.quiet()
            outcome.details["duration_s"] = round(time.monotonic() - started_s, 3)
            if self._settle(outcome, orders):
                self._call_hooks(config, outcome)
                return outcome.exit_code
            orders.listen()

    def _outcome(self, config: JobConfig, orders: QueueOrders, progress: QueuedProgress) -> Outcome:
        request = self._job.request
        if orders.is_superseded or orders.state == "cancelling":
            return self._interrupted(orders)
        store = StoreConfig(uri=request.output, s3=config.store)
        job = Job(manifest=request.manifest, store=store, config=config, strict=request.strict)
        summary = render(job, progress, orders)
        return Outcome("finished", code_of_summary(summary), "", _told(summary))

    def _failed(self, error: NightreelError) -> Outcome:
        if isinstance(error, PausedError):
            LOG.info("%s", error)
            return Outcome("paused", ExitCode.ALL_RENDERED, str(error), self._cause_of_pause())
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        LOG.error("%s", reason)
        code = code_of(error)
        details = {"exit_code": int(code)}
        tries = num_tries(self._log.events()) + 1
        if code is not ExitCode.TRY_AGAIN or tries >= AdmissionRules().max_tries:
            return Outcome("failed", code, reason, details)
        return Outcome("lost", code, reason, details | {"counts": True})

    def _interrupted(self, orders: QueueOrders) -> Outcome:
        if orders.state == "cancelling":
            return Outcome("cancelled", ExitCode.ALL_RENDERED)
        if orders.state == "pausing":
            return Outcome("paused", ExitCode.ALL_RENDERED, "", self._cause_of_pause())
        return Outcome("lost", ExitCode.INTERRUPTED, "its driver was interrupted")

    def _cause_of_pause(self) -> dict[str, Any]:
        job = self._queue.job(self._job.request.id)
        return {"cause": WINDOW} if is_paused_by_window(job) else {}

    def _settle(self, outcome: Outcome, orders: QueueOrders) -> bool:
        """Write the outcome; false if it was to pause and that is not wanted any more."""
        orders.read()
        if orders.is_superseded:
            LOG.warning("the job was started anew elsewhere; nothing of this start counts")
            return True
        if outcome.event != "finished" and orders.state == "cancelling":
            outcome.event = "cancelled"
        details = outcome.details | {"start": self._start}
        try:
            self._log.write(outcome.event, by=self._by, reason=outcome.reason, **details)
        except NotAllowedError as error:
            LOG.warning("%s", error)
            orders.read()
            return not (outcome.event == "paused" and orders.state == "running")
        return True

    def _call_hooks(self, config: JobConfig | None, outcome: Outcome) -> None:
        event = _HOOKS.get(outcome.event)
        is_late = outcome.event == "paused" and outcome.details.get("cause") == WINDOW
        if config is None or (event is None and not is_late):
            return
        request = self._job.request
        facts = {
            "job": request.id,
            "owner": request.owner,
            "manifest": request.manifest,
            "output": request.output,
            "reason": outcome.reason,
            **outcome.details,
        }
        run_hook(config.hooks, event or "late", facts)


_HOOKS: Final[dict[JobEvent, HookEvent]] = {"finished": "finished", "failed": "failed"}


def _told(summary: JobSummary) -> dict[str, Any]:
    return {
        "exit_code": int(code_of_summary(summary)),
        "rendered": len(summary.rendered),
        "skipped": summary.skipped,
        "failed": len(summary.failed),
        "rejected": len(summary.rejected),
        "failed_videos": dict(list(summary.failed.items())[:_MAX_NAMED]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job; ``arguments`` as on the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    parser = argparse.ArgumentParser(prog="python -m jobs.queued")
    parser.add_argument("job")
    parser.add_argument("--queue", required=True)
    parser.add_argument("settings", nargs="*", help="store.KEY=VALUE, of the queue")
    # As the dispatcher has them: the settings stand behind the queue and not behind the job.
    given = parser.parse_intermixed_args(arguments)
    store = open_store(given.queue, s3=load_store_options(overrides=given.settings))
    return Driver(JobQueue(store), given.job).run()


def _interrupt(signum: int, frame: object) -> NoReturn:
    del signum, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
