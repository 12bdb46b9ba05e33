"""A Ray cluster of several nodes on this machine, whose nodes can be lost."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import ray
from ray.cluster_utils import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray._private.node import Node

OBJECT_STORE_BYTES = 100 << 20

# A lost node is noticed in seconds, not in half a minute.
QUICK_HEALTH_CHECK = {
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}
# Actors bring processes of their own; spare ones would only cost time. Ray runs workers at a
# niceness of 15: on a busy machine a new one would take a minute to import what it needs.
QUICK_WORKERS = {
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}


@contextmanager
def nodes_of(*num_cpus: int) -> Iterator[tuple[Cluster, list[Node]]]:
    """A head without CPUs, where the driver is, and a node for each number."""
    os.environ.update(QUICK_WORKERS)
    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_system_config": QUICK_HEALTH_CHECK,
        },
    )
    try:
        nodes = [add_node(cluster, cpus) for cpus in num_cpus]
        ray.init(address=cluster.address, namespace="nightreel", log_to_driver=False)
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def add_node(cluster: Cluster, num_cpus: int) -> Node:
    """One more node."""
    node: Node = cluster.add_node(num_cpus=num_cpus, object_store_memory=OBJECT_STORE_BYTES)
    return node


def remove(cluster: Cluster, node: Node) -> None:
    """As when a machine loses its power: the workers, the object store and the raylet at once."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    workers = raylet.children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for process in workers:
        process.kill()
    psutil.wait_procs(workers, timeout=20)
