"""What a scheduler process runs whose clock runs fast."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from jobs.scheduler import Scheduler
from jobs.scheduler_loop import keep
from storage.holder import this_process
from storage.job_queue import JobQueue
from storage.open import open_store
from tests.due_times import START


def work(queue: str, epoch_s: float, speed: float) -> None:
    """Schedule for ever: it is START at ``epoch_s`` of the machine's clock, ``speed`` as fast."""

    def clock() -> datetime:
        return START + timedelta(seconds=(time.time() - epoch_s) * speed)

    scheduler = Scheduler(
        JobQueue(open_store(queue)),
        clock=clock,
        by=str(this_process()),
        has_manifest=lambda _: True,
    )
    keep(
        scheduler,
        clock=clock,
        sleep=lambda seconds: time.sleep(seconds / speed),
        report=lambda _: None,
    )
