"""How to reach an S3 server: options without secrets, and the client made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config

from pipeline.errors import ConfigError
from storage.location import check_endpoint
from storage.s3_errors import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """How to reach S3. Credentials are boto3's business: a profile, the environment, a role.

    Attributes:
        endpoint_url: the server, ``None`` for AWS itself.
        region: ``None`` for what the profile or the environment says, else ``us-east-1``.
        profile: a profile of the shared credentials file.
        addressing_style: ``path`` for most servers of one's own, ``virtual`` for AWS.
        checksums: ``when_required`` for servers that refuse the checksums boto3 adds by itself.
        conditional_writes: ``auto`` asks the server to refuse a write over an object
            (``If-None-Match``) and falls back to looking first if it doesn't know how; ``on``
            fails instead of falling back; ``off`` only looks first.
        part_bytes: size of the parts of a large upload; grows for files of over 10,000 parts.
        multipart_threshold_bytes: larger files go in parts.
        upload_threads: parts of one file in flight; each takes ``part_bytes`` of memory.
        max_attempts: tries per request, with exponential backoff and full jitter between.
        connect_timeout_s, read_timeout_s: per try.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    checksums: Literal["when_supported", "when_required"] = "when_supported"
    conditional_writes: Literal["auto", "on", "off"] = "auto"
    part_bytes: int = 16 << 20
    multipart_threshold_bytes: int = 32 << 20
    upload_threads: int = 4
    max_attempts: int = 10
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            check_endpoint(self.endpoint_url)
        if self.part_bytes < 5 << 20:
            raise ConfigError(f"part_bytes is {self.part_bytes}: S3 takes parts from 5 MiB on")
        if self.upload_threads < 1 or self.max_attempts < 1:
            raise ConfigError("upload_threads and max_attempts: expected at least 1")


def connect(options: S3Options) -> S3Client:
    """A client for any number of threads of this process; never pickle it, never fork with it.

    Raises:
        StoreAccessError: there is no such profile.
    """
    with translated(f"S3 at {options.endpoint_url or 'AWS'}"):
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        return session.client(
            "s3",
            endpoint_url=options.endpoint_url,
            # Servers of one's own seldom have regions, but requests are signed for one.
            region_name=options.region or session.region_name or "us-east-1",
            config=Config(
                connect_timeout=options.connect_timeout_s,
                read_timeout=options.read_timeout_s,
                retries={"mode": "standard", "total_max_attempts": options.max_attempts},
                max_pool_connections=max(10, 2 * options.upload_threads),
                request_checksum_calculation=options.checksums,
                response_checksum_validation=options.checksums,
                s3={"addressing_style": options.addressing_style},
                user_agent_extra="nightreel",
            ),
        )
