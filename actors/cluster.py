"""Starting Ray on this machine, or attaching to a cluster that runs.

Ray's own token authentication is left on: a local cluster makes its token under the user's home
folder, an attached one takes it from there, from ``RAY_AUTH_TOKEN`` or from
``RAY_AUTH_TOKEN_PATH``. The dashboard stays on loopback, since its Jobs API runs whatever it is
given.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from actors.signals import held_back
from pipeline.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("nightreel.cluster")

# Warm-up of the token, the head's processes and the first worker on a small machine.
LOCAL = "local"

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
    if ray.is_initialized():
        yield
        return
    logging.getLogger(NOTICE_LOGGER).setLevel(logging.ERROR)
    try:
        with held_back():
            ray.init(**_arguments(options))
    except (exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        where = options.address or "this machine"
        raise ClusterError(f"can't use Ray at {where}: {error}") from error
    except BaseException:
        ray.shutdown()
        raise
    try:
        yield
    finally:
        ray.shutdown()


def cluster_resources() -> dict[str, float]:
    """Totals of everything the cluster has."""
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def available_resources() -> dict[str, float]:
    """What of it is free now."""
    return dict(ray.available_resources())  # type: ignore[no-untyped-call]


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
