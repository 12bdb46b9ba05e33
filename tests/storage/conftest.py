"""Every kind of object store, behind one fixture."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.server import ThreadedMotoServer

from storage.connection import S3Options
from storage.open import open_store
from tests.s3_server import ACCESS_KEY, REGION, SECRET_KEY, s3_bucket, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from storage.local import LocalStore
    from storage.s3 import S3Store

__all__ = ["s3_bucket", "s3_server"]

# The smallest that S3 allows: a few megabytes are a multipart upload already.
PART_BYTES = 5 << 20


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Address of a moto server in this process, with any credentials in the environment."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.fixture
def moto_options(moto_url: str, credentials: None) -> S3Options:
    return S3Options(
        endpoint_url=moto_url,
        region=REGION,
        addressing_style="path",
        part_bytes=PART_BYTES,
        multipart_threshold_bytes=PART_BYTES,
        max_attempts=2,
    )


@pytest.fixture(scope="session")
def moto_client(moto_url: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=moto_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


@pytest.fixture
def moto_bucket(moto_client: S3Client) -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    moto_client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "moto", pytest.param("swift", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LocalStore | S3Store:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "moto":
        bucket = request.getfixturevalue("moto_bucket")
        options = request.getfixturevalue("moto_options")
    else:
        bucket = request.getfixturevalue("s3_bucket")
        options = request.getfixturevalue("s3_server").options(
            part_bytes=PART_BYTES, multipart_threshold_bytes=PART_BYTES, max_attempts=2
        )
    return open_store(f"s3://{bucket}/some/job", s3=options)
