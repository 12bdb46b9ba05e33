"""What actors count, for Prometheus: every name, its meaning, its labels.

Ray exports a name as ``ray_<name>``, a counter as ``ray_<name>_total``, with the node's address
and the process's ``WorkerId``. A label's values are few: no video, no segment, no step. ``job_id``
costs nothing, since every process of a job has a ``WorkerId`` of its own anyway; the name ``job``
is taken by Prometheus.

Ray keeps only buckets of a histogram and guesses its sum from their middles, so means are made of
counters: seconds over steps.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

import ray
from ray.util.metrics import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.seat import Seat
    from actors.step_report import StepReport

Activity = Literal["prompts", "step", "snapshot", "decode", "encode", "check", "upload"]
Retry = Literal["process_replaced", "step_replayed", "gang_returned", "delivery_restarted"]
RETRIES: Final[tuple[Retry, ...]] = (
    "process_replaced",
    "step_replayed",
    "gang_returned",
    "delivery_restarted",
)

# Powers of the square root of two, rounded: a median is read to within a fifth, 10 ms to 10 min.
STEP_BUCKETS_S: Final = (
    *(0.01, 0.014, 0.02, 0.028, 0.04, 0.056, 0.08, 0.11, 0.16, 0.22, 0.32, 0.45, 0.64, 0.9),
    *(1.3, 1.8, 2.5, 3.6, 5.0, 7.1, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 110.0, 160.0),
    *(220.0, 320.0, 450.0, 600.0),
)
_OF_ACTOR: Final = ("job_id", "engine", "actor", "gpu")


class Total(Counter):
    """A counter that is there from the start: Prometheus does not see a first rise from nothing."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        super().__init__(name, description, tag_keys)

    def begin(self, tags: dict[str, str]) -> None:
        """Be 0 for these labels."""
        self._record(0.0, tags)

    def add(self, value: float, tags: dict[str, str]) -> None:
        """Rise; by nothing is allowed."""
        if value > 0:
            self.inc(value, tags)


class ActorMetrics:
    """One actor's figures; some 50 microseconds a step (``tests/cluster/test_metrics.py``)."""

    def __init__(self, seat: Seat, engine: str) -> None:
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        self._engine, self._gpu = engine, ",".join(gpus) or "none"
        self._tags: dict[str, str] = {}
        self._busy = Total(
            "nightreel_busy_seconds",
            "Seconds that an actor worked, by activity; the rest of its time it waited.",
            (*_OF_ACTOR, "activity"),
        )
        self._steps = Total("nightreel_steps", "Steps of segments computed.", _OF_ACTOR)
        self._bytes = Total(
            "nightreel_boundary_bytes", "Boundary bytes handed to neighbours.", _OF_ACTOR
        )
        self._wait = Total(
            "nightreel_boundary_wait_seconds",
            "Seconds between two steps of a video: for neighbours' boundaries, or for the driver.",
            _OF_ACTOR,
        )
        self._frames = Total("nightreel_frames", "Frames decoded and encoded.", _OF_ACTOR)
        self._step_s = Histogram(
            "nightreel_step_seconds",
            "Seconds in a step, without waiting for neighbours.",
            boundaries=list(STEP_BUCKETS_S),
            tag_keys=("engine",),
        )
        self._step_tags = {"engine": engine}
        self.move(seat)

    def move(self, seat: Seat) -> None:
        """Count for this seat from now on."""
        self._tags = {
            "job_id": seat.job,
            "engine": self._engine,
            "actor": seat.actor,
            "gpu": self._gpu,
        }
        for counter in (self._steps, self._bytes, self._wait, self._frames):
            counter.begin(self._tags)

    def step(self, report: StepReport, wait_s: float) -> None:
        """A step is done, after a wait for its boundaries."""
        self.busy("step", report.compute_s)
        self.busy("snapshot", report.save_s)
        self._steps.inc(1, self._tags)
        self._bytes.add(report.sent_bytes, self._tags)
        self._wait.add(wait_s, self._tags)
        self._step_s.observe(report.compute_s, self._step_tags)

    def frames(self, num_frames: int) -> None:
        """So many more frames are encoded."""
        self._frames.add(num_frames, self._tags)

    def busy(self, activity: Activity, duration_s: float) -> None:
        """Time was spent."""
        self._busy.add(duration_s, {**self._tags, "activity": activity})

    @contextmanager
    def doing(self, activity: Activity) -> Iterator[None]:
        """Count the time that the block takes."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.busy(activity, time.perf_counter() - started_s)


class RetryMetrics:
    """What a driver has done again because something died."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._retries = Total(
            "nightreel_retries", "What was done again, by kind.", ("job_id", "kind")
        )
        for kind in RETRIES:
            self._retries.begin({"job_id": job, "kind": kind})

    def count(self, kind: Retry, number: int = 1) -> None:
        """So much more was done again."""
        self._retries.add(number, {"job_id": self._job, "kind": kind})
