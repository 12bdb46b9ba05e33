"""Manifests as a whole: where they lie, what they look like, and when they can't be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ManifestError, StoreAccessError, StoreUnavailableError
from storage.manifest import Manifest
from storage.repeated import RepeatedIds
from storage.source import MAX_LINE_BYTES
from tests.storage.manifests import EVENTS, FORMATS, TYPES, read, write

if TYPE_CHECKING:
    from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]
ROWS = [{"id": f"v{number}", "prompt": f"number {number}"} for number in range(5)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_counts_and_digest(tmp_path: Path, suffix: str) -> None:
    manifest = Manifest.open(str(write(tmp_path / f"m.{suffix}", ROWS)))
    assert (manifest.num_rows, manifest.num_repeated_ids) == (5, 0)
    assert len(list(manifest.rows())) == len(list(manifest.rows())) == 5
    moved = Manifest.open(write(tmp_path / f"n.{suffix}", ROWS).as_uri())
    assert moved.digest == manifest.digest
    other = Manifest.open(str(write(tmp_path / f"o.{suffix}", ROWS[:4])))
    assert other.digest != manifest.digest


def test_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "m/part-1/b.jsonl", ROWS[2:4])
    write(tmp_path / "m/part-0/z.PARQUET".replace("PARQUET", "parquet"), ROWS[:2])
    write(tmp_path / "m/part-2.csv", ROWS[4:])
    (tmp_path / "m/_SUCCESS").touch()
    (tmp_path / "m/.part.crc").write_text("x")
    good, bad = read(tmp_path / "m")
    assert list(good) == ["v0", "v1", "v2", "v3", "v4"]
    assert {row.file for row in good.values()} == {
        "part-0/z.parquet",
        "part-1/b.jsonl",
        "part-2.csv",
    }
    assert not bad


def refused(path: Path | str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        Manifest.open(str(path))


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "none.parquet", r"none\.parquet: no such file or folder; expected \.parquet")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no files in this folder")
    refused("gs://bucket/m.parquet", "'gs://' is not known")


def test_a_stranger_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "m/a.csv", ROWS)
    (tmp_path / "m/b.parq").touch()
    refused(tmp_path / "m", r"holds 'b\.parq'; expected \.parquet, \.csv or \.jsonl")


def test_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    path.write_text("id,prompt\na,b\n")
    refused(path, "not Parquet: it begins with b'id,p', expected b'PAR1'")
    path.write_bytes(b"")
    refused(path, "not Parquet")
    path.write_bytes(b"PAR1" + b"x" * 100)
    refused(path, "damaged Parquet")
    refused(path.rename(tmp_path / "m.txt"), "damaged Parquet")
    (tmp_path / "m.txt").write_text("hello")
    refused(tmp_path / "m.txt", "no known suffix")


def test_parquet_without_a_suffix(tmp_path: Path) -> None:
    good, _ = read(write(tmp_path / "m.parquet", ROWS).rename(tmp_path / "prompts"))
    assert len(good) == 5


def test_parquet_damaged_in_the_middle(tmp_path: Path) -> None:
    names = [f"{np.random.default_rng(n).bytes(40).hex()}" for n in range(2000)]
    table = pa.table({"id": names, "prompt": names})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=100, compression="snappy")
    data = bytearray((tmp_path / "m.parquet").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
    (tmp_path / "m.parquet").write_bytes(data)
    with pytest.raises(ManifestError, match="damaged Parquet"):
        list(Manifest.open(str(tmp_path / "m.parquet")).rows())


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_columns(tmp_path: Path, suffix: str) -> None:
    refused(write(tmp_path / f"a.{suffix}", [{"prompt": "x"}]), "no column 'id'; got 'prompt'")
    refused(
        write(tmp_path / f"b.{suffix}", [{"id": "a"}]), "neither a column 'prompt' nor 'events'"
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_unknown_columns(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": "a", "prompt": "x", "Negative-prompt": "y"}]
    refused(write(tmp_path / f"m.{suffix}", rows), "column 'Negative-prompt': unknown column; did")
    rows = [{"id": "a", "prompt": "x", "x_mine": "y"}]
    assert list(read(write(tmp_path / f"n.{suffix}", rows))[0]) == ["a"]


def test_repeated_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,prompt,id\n")
    refused(tmp_path / "m.csv", "'id' stands there twice")


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("prompt", [1], "'prompt' is int64: expected string"),
        ("seed", ["7"], "'seed' is string: expected an integer type"),
        ("duration_s", [True], "'duration_s' is bool: expected a floating point"),
        ("deadline", [1], "'deadline' is int64: expected timestamp"),
        ("events", [["x"]], "expected list<struct<start_s: double, prompt: string>>"),
        ("events", [[{"at": 1.0, "prompt": "x"}]], "expected list<struct<start_s"),
        ("metadata", [1], "expected map<string, string>"),
        ("id", [1.5], "'id' is double: expected string"),
    ],
)
def test_columns_of_the_wrong_type(
    tmp_path: Path, column: str, values: list[object], words: str
) -> None:
    table = pa.table({"id": ["a"], "prompt": ["x"]} | {column: values})
    pq.write_table(table, tmp_path / "m.parquet")
    refused(tmp_path / "m.parquet", words)


def test_columns_of_unusual_but_good_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1], pa.uint8()),
            "prompt": pa.array(["x"]).dictionary_encode(),
            "negative_prompt": pa.array(["x"], pa.large_string()),
            "seed": pa.array([7.0]),
            "duration_s": pa.array([3], pa.decimal128(10, 2)),
            "events": pa.array(
                [[{"start_s": 0.0, "prompt": "x"}]], pa.large_list(EVENTS.value_type)
            ),
            "metadata": [{"a": "b", "c": None}],
            "deadline": pa.array([1], pa.date32()),
            "image": pa.nulls(1),
            "__index_level_0__": [0],
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    good, bad = read(tmp_path / "m.parquet")
    assert not bad
    spec = good["1"].spec
    assert (spec.seed, spec.duration_s, spec.image) == (7, 3.0, None)
    assert (spec.metadata, spec.deadline) == ({"a": "b"}, "1970-01-02T00:00:00+00:00")


def test_json_text_in_parquet(tmp_path: Path) -> None:
    events = '[{"start_s": 0, "prompt": "x"}]'
    rows = [{"id": "a", "events": events, "metadata": '{"a": 1}'}, {"id": "b", "events": "[{"}]
    types = TYPES | {"events": pa.string(), "metadata": pa.string()}
    good, (bad,) = read(write(tmp_path / "m.parquet", rows, types))
    assert good["a"].spec.events[0].prompt == "x"
    assert good["a"].spec.metadata == {"a": "1"}
    assert "not valid JSON" in bad.reason


def test_csv_oddities(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(
        b"\xef\xbb\xbf id ,prompt,seed\r\n"
        b"a,one,7\r\n\r\n"
        b"b,two\r\n"
        b"c,caf\xe9,\r\n"
        b"d,four, 8 \r\n"
        b"e,five,1_000\r\n"
        b"f," + b"x" * 200_000 + b",\r\n"
        b'g,"six ""quoted"", with comma",9.0\r\n'
        b'h,"never closed,1\r\ni,x,2\r\n'
    )
    good, bad = read(path)
    assert {name: row.spec.seed for name, row in good.items()} == {"a": 7, "d": 8, "g": 9}
    assert good["g"].spec.prompt == 'six "quoted", with comma'
    assert [(r.row, r.column) for r in bad] == [
        (2, ""),
        (3, "prompt"),
        (5, "seed"),
        (6, ""),
        (8, ""),
    ]
    assert "2 cells, the header has 3" in bad[0].reason
    assert "not valid UTF-8" in bad[1].reason
    assert "not valid CSV" in bad[4].reason


def test_csv_without_line_ends(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"id,prompt\n" + b"x" * (MAX_LINE_BYTES + 10))
    refused(tmp_path / "m.csv", "line 2 has over")


def test_jsonl_oddities(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "a", "prompt": "x"}\n\n'
        b"{broken\n"
        b'{"id": "b", "prompt": "caf\xe9"}\n'
        b'{"id": "c", "id": "d", "prompt": "x"}\n'
        b"[1, 2]\n" + b"[" * 100_000 + b"\n" + b'"' + b"x" * (2 * MAX_LINE_BYTES) + b'"\n'
        b'{"id": "e", "prompt": "x"}'
    )
    good, bad = read(path)
    assert list(good) == ["a", "e"]
    reasons = [
        "not valid JSON",
        "not valid UTF-8",
        "twice",
        "got a list",
        "too deeply",
        "a line of",
    ]
    assert len(bad) == len(reasons)
    assert all(words in r.reason for words, r in zip(reasons, bad, strict=True))


def test_empty_files(tmp_path: Path) -> None:
    for suffix in FORMATS:
        assert Manifest.open(str(write(tmp_path / f"m.{suffix}", []))).num_rows == 0
    (tmp_path / "m.csv").write_text("")
    refused(tmp_path / "m.csv", "empty; expected a header")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_changes_meanwhile(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"m.{suffix}", ROWS)
    manifest = Manifest.open(str(path))
    write(path, ROWS[:3])
    with pytest.raises(ManifestError, match="changed while it was being read"):
        list(manifest.rows())
    path.unlink()
    with pytest.raises(ManifestError, match="can't be read"):
        list(manifest.rows())


def test_repeated_ids_with_equal_halves_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = {"a": (1, 1), "b": (1, 2), "c": (1, 2), "d": (2, 1), "e": (3, 3)}
    monkeypatch.setattr("storage.repeated._hash", lambda name: fake[name])
    repeated = RepeatedIds(["a", "b", "c", "d", "e", None])
    assert repeated.num_rows == 6
    assert len(repeated) == 1
    assert [name for name in fake if name in repeated] == ["b", "c"]


def test_many_repeated_ids() -> None:
    ids = [str(number % 60_000) for number in range(100_000)]
    repeated = RepeatedIds(ids)
    assert len(repeated) == 40_000
    assert "39999" in repeated
    assert "40000" not in repeated
    assert "x" not in RepeatedIds([])


MEASURE = """
import resource, sys
from storage.manifest import Manifest
rows = sum(1 for _ in Manifest.open(sys.argv[1]).rows())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak_bytes(path: Path) -> tuple[int, int]:
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows, peak = out.stdout.split()
    return int(rows), int(peak)


@pytest.mark.slow
def test_a_big_manifest_never_sits_in_memory(tmp_path: Path) -> None:
    small, big = 10_000, 100_000
    text = "a long slow shot of a garden made of glass at dawn, " * 24
    for count in (small, big):
        ids = [f"video-{number:08d}" for number in range(count)]
        prompts = [f"{name} {text} {name[::-1]}" for name in ids]
        # One row group, as pyarrow writes by itself: 130 MB of text.
        table = pa.table({"id": ids, "prompt": prompts, "seed": range(count)})
        pq.write_table(
            table, tmp_path / f"{count}.parquet", row_group_size=count, use_dictionary=False
        )
    few, base_bytes = peak_bytes(tmp_path / f"{small}.parquet")
    many, peak = peak_bytes(tmp_path / f"{big}.parquet")
    assert (few, many) == (small, big)
    # 16 bytes a row for the ids, as much again to sort them, and the arrays' room to grow.
    assert peak - base_bytes < 20_000_000


@pytest.mark.s3
def test_manifests_in_s3(s3_server: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    client = s3_server.client()
    for number, suffix in enumerate(FORMATS):
        path = write(tmp_path / f"m.{suffix}", ROWS[number : number + 1])
        client.upload_file(str(path), s3_bucket, f"prompts/part-{number}.{suffix}")
    options = s3_server.options()
    manifest = Manifest.open(f"s3://{s3_bucket}/prompts/", s3=options)
    assert [row.spec.id for row in manifest.rows()] == ["v0", "v1", "v2"]  # type: ignore[union-attr]
    assert manifest.digest
    single = Manifest.open(f"s3://{s3_bucket}/prompts/part-0.parquet", s3=options)
    assert single.num_rows == 1
    client.put_object(Bucket=s3_bucket, Key="prompts/part-0.parquet", Body=b"PAR1 other")
    with pytest.raises(ManifestError, match="changed while it was being read"):
        list(single.rows())
    with pytest.raises(ManifestError, match="damaged Parquet"):
        Manifest.open(f"s3://{s3_bucket}/prompts/part-0.parquet", s3=options)
    with pytest.raises(ManifestError, match="no such object or prefix"):
        Manifest.open(f"s3://{s3_bucket}/nothing.csv", s3=options)
    with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
        Manifest.open("s3://no-such-bucket/m.csv", s3=options)


@pytest.mark.s3
def test_manifest_with_wrong_credentials(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(StoreAccessError) as caught:
        Manifest.open(f"s3://{s3_bucket}/m.csv", s3=s3_server.options())
    assert "hunter2" not in str(caught.value)
    assert os.environ["AWS_ACCESS_KEY_ID"] in "test:tester"
