"""Wildcards in a manifest's URI, alone, on a disk and in buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ManifestError, ManifestMissingError
from storage.manifest import Manifest
from storage.open import open_store
from storage.patterns import fixed_folder, has_wildcards, matches
from tests.manifests import row, write

if TYPE_CHECKING:
    from pathlib import Path

    from storage.connection import S3Options


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a/*.parquet", "a/b.parquet", True),
        ("a/*.parquet", "a/b/c.parquet", False),
        ("a/**/*.parquet", "a/b/c.parquet", True),
        ("a/**/*.parquet", "a/c.parquet", True),
        ("a/**", "a/b/c", True),
        ("part-?.csv", "part-1.csv", True),
        ("part-?.csv", "part-10.csv", False),
        ("part-[0-4].csv", "part-3.csv", True),
        ("part-[!0-4].csv", "part-3.csv", False),
        ("part-[!0-4].csv", "part-/.csv", False),
        ("a.b", "aXb", False),
        ("[", "[", True),
    ],
)
def test_what_matches(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_the_folder_before_the_first_wildcard() -> None:
    assert fixed_folder("a/b/c*/d") == "a/b"
    assert fixed_folder("a*/b") == ""
    assert has_wildcards("a/[b]")
    assert not has_wildcards("a/{date}/b.parquet")


def test_characters_that_are_no_set_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"'\[z-a\]': bad character range"):
        matches("[z-a]", "b")


def test_a_pattern_on_a_disk(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.parquet", [row(name)])
    (tmp_path / "notes.txt").write_text("not a manifest")
    manifest = Manifest.open(f"file://{tmp_path}/*.parquet")
    assert [found.file for found in manifest.rows()] == ["a.parquet", "b.parquet"]
    with pytest.raises(ManifestMissingError, match=r"\*\.csv: nothing matches"):
        Manifest.open(str(tmp_path / "*.csv"))
    with pytest.raises(ManifestMissingError, match="nothing matches"):
        Manifest.open(str(tmp_path / "2026-01-01" / "*.csv"))


def test_a_file_that_is_called_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "part[1].parquet", [row("a")])
    write(tmp_path / "part1.parquet", [row("b")])
    rows = list(Manifest.open(str(tmp_path / "part[1].parquet")).rows())
    assert [found.file for found in rows] == ["part[1].parquet"]


def test_a_pattern_in_a_bucket(tmp_path: Path, moto_bucket: str, moto_options: S3Options) -> None:
    file = write(tmp_path / "rows.parquet", [row("a")])
    store = open_store(f"s3://{moto_bucket}/prompts", s3=moto_options)
    store.put_file("2026-11-27/one.parquet", file)
    store.put_bytes("2026-11-27/notes.txt", b"not a manifest")
    uri = f"s3://{moto_bucket}/prompts/2026-11-27/*.parquet"
    manifest = Manifest.open(uri, s3=moto_options)
    assert [found.file for found in manifest.rows()] == ["one.parquet"]
    with pytest.raises(ManifestMissingError, match="no such object or prefix"):
        Manifest.open(uri.replace("27", "28"), s3=moto_options)
