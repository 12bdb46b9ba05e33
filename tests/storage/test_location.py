"""URIs and the recipe for a store."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ConfigError
from storage.connection import S3Options
from storage.local import LocalStore
from storage.location import parse_location
from storage.open import StoreConfig, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/out", "file:///out"),
        ("/out/", "file:///out"),
        ("file:///out/a%20b", "file:///out/a%20b"),
        ("file://localhost/out", "file:///out"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/what?.#1", "s3://bucket/what?.#1"),
    ],
)
def test_what_is_understood(uri: str, expected: str) -> None:
    assert parse_location(uri).uri == expected


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_location("out").path == str(tmp_path / "out")
    assert parse_location("~/out").path == "/home/somebody/out"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "empty"),
        ("gs://bucket/x", "'gs://' is not known"),
        ("file://host/x", "names host 'host'"),
        ("s3://", "can't be a bucket"),
        ("s3://b u/x", "can't be a bucket"),
        ("s3://bucket/a/../b", "no parts of a key"),
    ],
)
def test_what_is_not(uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_location(uri)


@pytest.mark.parametrize("options", [{"endpoint_url": "https://user:hunter2@host"}, {}])
def test_secrets_in_uris_are_refused_and_not_repeated(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="credentials") as caught:
        StoreConfig(uri="s3://key:hunter2@bucket/x", s3=S3Options(**options))  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["minio:9000", "ftp://host", "http://"])
def test_endpoints_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="endpoint_url"):
        S3Options(endpoint_url=url)


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match="5 MiB"):
        S3Options(part_bytes=1)
    with pytest.raises(ConfigError, match="at least 1"):
        S3Options(upload_threads=0)


def test_the_recipe_opens_the_same_folder_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = StoreConfig(uri="out")
    monkeypatch.chdir("/")
    store = pickle.loads(pickle.dumps(config))()
    assert isinstance(store, LocalStore)
    assert store.uri == (tmp_path / "out").as_uri()
    store.put_bytes("a", b"1")
    assert open_store(str(tmp_path / "out")).get_bytes("a") == b"1"
