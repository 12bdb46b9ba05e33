"""The cluster that all tests of actors share."""

from __future__ import annotations

from tests.cluster.gangs import ray_cluster

__all__ = ["ray_cluster"]
