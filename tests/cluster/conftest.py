"""The cluster that all tests of actors share, and the S3 server that some of them use."""

from __future__ import annotations

from tests.cluster.gangs import ray_cluster
from tests.s3_server import s3_bucket, s3_server

__all__ = ["ray_cluster", "s3_bucket", "s3_server"]
