"""What the dispatcher and the scheduler tell Prometheus, on a port of their own.

They are not part of a Ray cluster, so Ray does not export what they count. Names are therefore
without ``ray_``. Several may stand by: only who leads the queue tells anything, and the others have
nothing to be read.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from pipeline.errors import UserError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Self
    from wsgiref.simple_server import WSGIServer

LOOPBACK: Final = "127.0.0.1"
# What ``dashboards/prometheus.yml`` looks at.
USUAL_PORT: Final = 9464


@contextmanager
def served_metrics(port: int) -> Iterator[QueueMetrics | None]:
    """Figures that are served at a port of this machine meanwhile; none if the port is 0.

    Raises:
        UserError: the port is taken or not ours to take.
    """
    if not port:
        yield None
        return
    metrics = QueueMetrics().serve(port)
    try:
        yield metrics
    finally:
        metrics.close()


class QueueMetrics:
    """Figures of the queue and of the schedules; ``serve`` lets Prometheus read them."""

    def __init__(self) -> None:
        # One registry each: nothing of the process itself, and tests need not share.
        self.registry = CollectorRegistry()
        self._jobs = Gauge(
            "nightreel_queue_jobs",
            "Jobs in the queue, by state.",
            labelnames=("state",),
            registry=self.registry,
        )
        self._oldest = Gauge(
            "nightreel_queue_oldest_timestamp_seconds",
            "Since when the job that has waited longest could have started; absent if none waits.",
            labelnames=("state",),
            registry=self.registry,
        )
        self._window_ends = Gauge(
            "nightreel_window_end_timestamp_seconds",
            "When the window of a running job closes.",
            labelnames=("job_id",),
            registry=self.registry,
        )
        self._lag = Gauge(
            "nightreel_schedule_lag_seconds",
            "How late a schedule is: the age of its oldest due run that has not begun, else 0.",
            labelnames=("schedule",),
            registry=self.registry,
        )
        self._served: tuple[WSGIServer, threading.Thread] | None = None

    def serve(self, port: int, host: str = LOOPBACK) -> Self:
        """Answer ``http://host:port/metrics`` from now on, in a thread; port 0 is any.

        Raises:
            UserError: the port is taken or not ours to take.
        """
        try:
            self._served = start_http_server(port, addr=host, registry=self.registry)
        except (OSError, OverflowError) as error:
            raise UserError(f"metrics: can't listen at {host}:{port}: {error}") from error
        return self

    @property
    def port(self) -> int:
        """The port that is served, 0 if none is."""
        return 0 if self._served is None else int(self._served[0].server_port)

    def close(self) -> None:
        """Answer no more."""
        served, self._served = self._served, None
        if served is not None:
            server, thread = served
            server.shutdown()
            server.server_close()
            thread.join()

    def queue(self, by_state: Mapping[str, int], oldest_waiting: datetime | None) -> None:
        """What is in the queue now: jobs by state, and since when the oldest waits."""
        _show(self._jobs, by_state)
        oldest = {} if oldest_waiting is None else {"queued": oldest_waiting.timestamp()}
        _show(self._oldest, oldest)

    def windows(self, ends: Mapping[str, datetime]) -> None:
        """When the windows of the jobs close that run now; jobs without a window are not in it."""
        _show(self._window_ends, {job_id: end.timestamp() for job_id, end in ends.items()})

    def schedules(self, lags_s: Mapping[str, float]) -> None:
        """How late each schedule is, in seconds; 0 if nothing is due."""
        _show(self._lag, lags_s)


def _show(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Have these values and no others; what stays is never missing in between."""
    for label, value in values.items():
        gauge.labels(label).set(value)
    shown = [sample.labels for metric in gauge.collect() for sample in metric.samples]
    known = {label for labels in shown for label in labels.values()}
    for label in known - set(values):
        gauge.remove(label)
