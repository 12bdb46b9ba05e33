"""The cluster and the S3 server that other tests use too."""

from __future__ import annotations

from tests.cluster.gangs import ray_cluster

__all__ = ["ray_cluster"]
