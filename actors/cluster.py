"""Starting Ray on this machine, or attaching to a cluster that runs.

Ray's own token authentication is left on: a local cluster makes its token under the user's home
folder, an attached one takes it from there, from ``RAY_AUTH_TOKEN`` or from
``RAY_AUTH_TOKEN_PATH``. The dashboard stays on loopback, since its Jobs API runs whatever it is
given.
"""

from __future__ import annotations

import logging
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from actors.signals import none_lost
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("nightreel.cluster")

# Warm-up of the token, the head's processes and the first worker on a small machine.
LOCAL = "local"
CLIENT_SCHEME = "ray://"

# Ray only logs that it was refused, and then says that it could not connect.
ATTACH_HINT = (
    "; something answers there: is its token the one in RAY_AUTH_TOKEN, in the file named by "
    "RAY_AUTH_TOKEN_PATH, or in ~/.ray/auth_token, and its Ray of the same version?"
)

# A head that is there accepts a connection in milliseconds, across the world within a second.
ANSWER_TIMEOUT_S = 10.0

# Ray prints every error that nobody asked for; who waited for an actor that died need not be told.
ABANDONED_LOGGER = "ray._private.worker"
ABANDONED = "Unhandled error"

# Ray warns at every start that its token authentication is on. It is meant to be.
NOTICE_LOGGER = "ray._private.authentication.authentication_token_setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Which cluster.

    Attributes:
        address: ``host:port`` or ``ray://...`` of a running cluster, ``auto`` to find one on this
            machine, empty or ``local`` to start one.
        namespace: Ray namespace of our actors.
        num_cpus: CPUs of a cluster that is started here; ``None`` is all.
        object_store_memory_bytes: shared memory of a cluster started here; ``None`` is Ray's
        choice.
        include_dashboard: whether a cluster started here has a dashboard.
    """

    address: str = ""
    namespace: str = "nightreel"
    num_cpus: int | None = None
    object_store_memory_bytes: int | None = None
    include_dashboard: bool = False


@contextmanager
def connected(options: ClusterOptions) -> Iterator[None]:
    """Be connected to the cluster; one that was started here ends when the block is left.

    Raises:
        ClusterError: it can't be reached, refuses the token, or can't be started.
    """
    logging.getLogger(ABANDONED_LOGGER).addFilter(_is_news)
    if ray.is_initialized():
        yield
        return
    logging.getLogger(NOTICE_LOGGER).setLevel(logging.ERROR)
    starts_here = options.address in {"", LOCAL}
    if not starts_here:
        _check_reachable(options.address)
    try:
        with none_lost(forks=starts_here):
            ray.init(**_arguments(options))
    except (exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        where = options.address or "this machine"
        hint = "" if starts_here else ATTACH_HINT
        raise ClusterError(f"can't use Ray at {where}: {error}{hint}") from error
    except BaseException:
        ray.shutdown()
        raise
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray tries for minutes where nobody answers, and only says that it timed out."""
    host, _, port = address.removeprefix(CLIENT_SCHEME).rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error


def cluster_resources() -> dict[str, float]:
    """Totals of everything the cluster has."""
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def accelerators() -> str:
    """What the cluster computes with, as Ray names it: ``H100``, ``A100+H100``, ``cpu``."""
    marks = (name.partition(":") for name in cluster_resources())
    return "+".join(sorted(kind for mark, _, kind in marks if mark == "accelerator_type")) or "cpu"


def available_resources() -> dict[str, float]:
    """What of it is free now."""
    return dict(ray.available_resources())  # type: ignore[no-untyped-call]


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(ABANDONED)


def _arguments(options: ClusterOptions) -> dict[str, Any]:
    shared = {
        "namespace": options.namespace,
        "log_to_driver": False,
        "configure_logging": True,
        "logging_level": logging.WARNING,
    }
    if options.address not in {"", LOCAL}:
        return {"address": options.address, **shared}
    return {
        "address": LOCAL,
        "num_cpus": options.num_cpus,
        "object_store_memory": options.object_store_memory_bytes,
        "include_dashboard": options.include_dashboard,
        "dashboard_host": "127.0.0.1",
        **shared,
    }
