"""Which of the cluster's nodes live, and which were told that they soon will not."""

from __future__ import annotations

import ray


def living_nodes() -> set[str]:
    """Ids of the nodes that the cluster believes to be alive."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"] for node in nodes if node["Alive"]}


def draining_nodes() -> set[str]:
    """Ids of nodes that are being drained or are about to be preempted.

    Ray 2.60 has this in no public module; its own libraries ask the same question this way.
    """
    return set(ray._private.state.state.get_draining_nodes())  # noqa: SLF001
