"""Manifests in S3: one object, all under a prefix, or all that match a pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pipeline.errors import ManifestMissingError, ObjectMissingError
from storage.connection import S3Options, connect
from storage.manifest_file import EXPECTED, ManifestFile, chosen
from storage.patterns import fixed_folder, has_wildcards, matches
from storage.s3_errors import translated
from storage.s3_reader import open_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from storage.location import Location


@dataclass(frozen=True, slots=True)
class S3ManifestFile:
    """A manifest file in a bucket."""

    client: S3Client
    bucket: str
    key: str
    name: str
    size_bytes: int
    etag: str

    @property
    def uri(self) -> str:
        """The object's URI."""
        return f"s3://{self.bucket}/{self.key}"

    def open(self) -> BinaryIO:
        """Open it; reads fail if it has changed since it was found."""
        return open_object(self.client, self.bucket, self.key, self.size_bytes, self.etag)


def find_s3(location: Location, options: S3Options) -> list[ManifestFile]:
    """The files of a manifest in S3, in the order of their names.

    Raises:
        ManifestMissingError: nothing there.
        ManifestError: a file of no known kind is under the prefix.
        StoreError: the server refused or can't be reached.
    """
    client = connect(options)
    single = _object(client, location) if location.path else None
    if single is not None:
        return [single]
    prefix = f"{location.path}/" if location.path else ""
    found = _below(client, location, prefix)
    if not found and has_wildcards(location.path):
        folder = fixed_folder(location.path)
        prefix = f"{folder}/" if folder else ""
        pattern = location.path.removeprefix(prefix)
        below = _below(client, location, prefix)
        found = {name: file for name, file in below.items() if matches(pattern, name)}
    if not found:
        raise ManifestMissingError(f"{location.uri}: no such object or prefix; {EXPECTED}")
    return [found[name] for name in chosen(found, location.uri)]


def _below(client: S3Client, location: Location, prefix: str) -> dict[str, ManifestFile]:
    """All objects under a prefix by their names relative to it."""
    bucket = location.bucket
    with translated(f"{location.uri} at {client.meta.endpoint_url}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = {
            item["Key"].removeprefix(prefix): item
            for page in pages
            for item in page.get("Contents", [])
            if not item["Key"].endswith("/")
        }
    return {
        name: S3ManifestFile(client, bucket, prefix + name, name, item["Size"], item["ETag"])
        for name, item in found.items()
    }


def _object(client: S3Client, location: Location) -> ManifestFile | None:
    where = f"{location.uri} at {client.meta.endpoint_url}"
    try:
        with translated(where):
            head = client.head_object(Bucket=location.bucket, Key=location.path)
    except ObjectMissingError:
        return None
    name = location.path.rpartition("/")[2]
    return S3ManifestFile(
        client, location.bucket, location.path, name, head["ContentLength"], head["ETag"]
    )
