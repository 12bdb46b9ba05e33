"""Where a URI points: a local path or a place in an S3 bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import ConfigError

# Wider than AWS' own rule: older buckets and other servers allow capitals and underscores.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
# A model of a hub, where one can be named: no place to write to.
HUB: Final = "hf://"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place that a URI names.

    Attributes:
        scheme: ``file`` or ``s3``.
        bucket: the S3 bucket; empty for a file.
        path: an absolute local path, or a key or prefix in the bucket without outer slashes.
    """

    scheme: Literal["file", "s3"]
    bucket: str
    path: str

    @property
    def uri(self) -> str:
        """The whole place as one URI, without a trailing slash."""
        if self.scheme == "file":
            return "file://" + quote(self.path)
        return f"s3://{self.bucket}/{self.path}".rstrip("/")


def parse_location(uri: str) -> Location:
    """Understand a path, a ``file://`` URI or an ``s3://`` URI.

    Relative paths are made absolute here, once: a worker on another node has another current
    folder.

    Raises:
        ConfigError: another scheme, a host in a file URI, or a name that can't be a bucket.
    """
    if not uri.strip():
        raise ConfigError("empty location: expected a path, file:///folder or s3://bucket/prefix")
    match = _SCHEME.fullmatch(uri)
    if match is None:
        return _file(Path(uri).expanduser())
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return _file_uri(rest)
    if scheme == "s3":
        return _s3(rest)
    raise ConfigError(f"scheme '{scheme}://' is not known: expected a path, file:// or s3://")


def _file(path: Path) -> Location:
    return Location(scheme="file", bucket="", path=str(path.absolute()))


def _file_uri(rest: str) -> Location:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise ConfigError(f"file URI names host {host!r}: expected file:///absolute/path")
    return _file(Path(unquote("/" + path)))


def _s3(rest: str) -> Location:
    bucket, _, key = rest.partition("/")
    if "@" in bucket:
        raise ConfigError(
            "credentials don't belong in an s3:// URI: expected s3://bucket/prefix, "
            "with credentials in a profile or the environment"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{bucket!r} can't be a bucket name: expected s3://bucket/prefix")
    key = key.strip("/")
    if any(part in {".", ".."} for part in key.split("/")):
        raise ConfigError(f"s3://{bucket}/{key}: '.' and '..' are no parts of a key")
    return Location(scheme="s3", bucket=bucket, path=key)


def check_endpoint(url: str) -> None:
    """Refuse an S3 endpoint that isn't a plain http(s) address.

    Raises:
        ConfigError: no address, another scheme, or credentials inside (they would be logged).
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError("endpoint_url holds credentials: expected http(s)://host[:port]")
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError(f"endpoint_url is {url!r}: expected http(s)://host[:port]")
