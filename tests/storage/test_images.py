"""Images are read from allowed places alone, however a row spells another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ConfigError, ImageError
from storage.connection import S3Options
from storage.images import ImageSource

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

LIMIT_BYTES = 100
REFUSED = "not under image.allowed_prefixes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder, and beside it what must not be read."""
    allowed = tmp_path / "images"
    (allowed / "deep").mkdir(parents=True)
    (allowed / "deep" / "a b.png").write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "images-too").mkdir()
    (tmp_path / "images-too" / "secret.png").write_bytes(b"secret")
    (allowed / "link.png").symlink_to(tmp_path / "secret.png")
    (allowed / "good-link.png").symlink_to(allowed / "deep" / "a b.png")
    return allowed


def source(*prefixes: str, s3: S3Options | None = None) -> ImageSource:
    return ImageSource(prefixes, s3 or S3Options(), LIMIT_BYTES)


def test_files_below_a_prefix_are_read(folder: Path) -> None:
    for prefix in (str(folder), f"{folder}/", folder.as_uri(), str(folder.parent)):
        images = source("/elsewhere", prefix)
        for uri in (
            f"{folder}/deep/a b.png",
            f"{folder.as_uri()}/deep/a%20b.png",
            f"{folder}/../images/deep/a b.png",
            f"{folder}/good-link.png",
        ):
            assert images.read(uri) == b"picture"


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/secret.png",
        "{root}/images/../secret.png",
        "{root}/images/deep/../../secret.png",
        "file://{root}/images/%2e%2e/secret.png",
        "{root}/images/link.png",
        "{root}/images-too/secret.png",
        "{root}/nowhere.png",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "secret.png",
        "~/secret.png",
        "s3://bucket/secret.png",
    ],
)
def test_whatever_lies_elsewhere_is_refused(folder: Path, uri: str) -> None:
    with pytest.raises(ImageError, match=REFUSED):
        source(str(folder), "s3://bucket/images").read(uri.format(root=folder.parent))


@pytest.mark.parametrize(
    "uri", ["http://169.254.169.254/latest", "https://a/b.png", "ftp://a/b", "file://host/a", ""]
)
def test_other_addresses_are_not_even_understood(folder: Path, uri: str) -> None:
    with pytest.raises(ImageError, match="expected"):
        source(str(folder)).read(uri)


def test_without_prefixes_nothing_is_read(folder: Path) -> None:
    with pytest.raises(ImageError, match="which allow nothing"):
        source().read(f"{folder}/deep/a b.png")


def test_only_plain_files_of_a_decent_size_are_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "large.png").write_bytes(b"x" * (LIMIT_BYTES + 1))
    (folder / "empty.png").write_bytes(b"")
    for name, message in {
        "pipe.png": "no plain file",
        "deep": "no plain file",
        "large.png": "101 bytes, expected 1 to image.max_bytes=100",
        "empty.png": "0 bytes, expected 1 to",
        "missing.png": "can't be read: No such file",
        "nul\0.png": "can't be read",
    }.items():
        with pytest.raises(ImageError, match=message):
            source(str(folder)).read(f"{folder}/{name}")


def test_objects_below_a_prefix_are_read(
    moto_client: S3Client, moto_bucket: str, moto_options: S3Options
) -> None:
    for key, body in {"images/a.png": b"picture", "images-too/a.png": b"s", "a.png": b"s"}.items():
        moto_client.put_object(Bucket=moto_bucket, Key=key, Body=body)
    moto_client.put_object(Bucket=moto_bucket, Key="images/large.png", Body=b"x" * 101)
    images = source(f"s3://{moto_bucket}/images/", s3=moto_options)
    assert images.read(f"s3://{moto_bucket}/images/a.png") == b"picture"
    assert source(f"s3://{moto_bucket}", s3=moto_options).read(f"s3://{moto_bucket}/a.png") == b"s"
    for key, message in {
        "images-too/a.png": REFUSED,
        "a.png": REFUSED,
        "images/../a.png": "no parts of a key",
        "images/large.png": "101 bytes, expected 1 to",
        "images/missing.png": "can't be read",
    }.items():
        with pytest.raises(ImageError, match=message):
            images.read(f"s3://{moto_bucket}/{key}")
    with pytest.raises(ImageError, match=REFUSED):
        images.read("s3://another-bucket/images/a.png")


def test_a_prefix_that_makes_no_sense_is_refused_by_key() -> None:
    with pytest.raises(ConfigError, match=r"image.allowed_prefixes = http://a: "):
        source("http://a")
