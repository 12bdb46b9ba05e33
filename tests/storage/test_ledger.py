"""Who is done and who is not, on every kind of store."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from pipeline.errors import ObjectCorruptError, ObjectExistsError, StoreError
from storage import keys, numbered
from storage.ledger import READ_AHEAD, Ledger
from storage.local import LocalStore
from storage.record import LedgerRecord, from_json, to_json
from storage.rejected import Rejection, put_rejected
from storage.results import put_results

if TYPE_CHECKING:
    from pathlib import Path

    from storage.s3 import S3Store

    Store = LocalStore | S3Store

FAILED = LedgerRecord(id="a", state="failed", fingerprint="f1", error="EncodeError", message="no")


def rendered(store: Store, video_id: str, fingerprint: str, data: bytes = b"film") -> LedgerRecord:
    info = store.put_bytes(keys.video(video_id, fingerprint), data, overwrite=True)
    return LedgerRecord(
        id=video_id,
        state="rendered",
        fingerprint=fingerprint,
        key=info.key,
        size_bytes=info.size_bytes,
        crc32=info.crc32,
        num_frames=160,
        duration_s=10.0,
        started_at="2030-01-01T00:00:00+00:00",
        quality={"seam": 1.01},
    )


@pytest.fixture
def folder(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_a_video_from_first_try_to_done(store: Store) -> None:
    ledger = Ledger(store)
    assert ledger.finished("a", "f1").reason == ""
    assert ledger.current("a") is None
    assert ledger.append(FAILED).attempt == 1
    assert ledger.finished("a", "f1").reason == "failed in attempt 1: EncodeError"
    done = ledger.append(rendered(store, "a", "f1"))
    assert done.attempt == 2
    verdict = ledger.finished("a", "f1")
    assert (verdict.done, verdict.current, verdict.record) == (True, True, done)
    assert ledger.current("a") == done
    assert [record.attempt for record in ledger.history("a")] == [2, 1]
    assert not ledger.finished("ab", "f1").done


def test_a_changed_request_and_the_way_back(folder: LocalStore) -> None:
    ledger = Ledger(folder)
    first = ledger.append(rendered(folder, "a", "f1"))
    assert ledger.finished("a", "f2").reason == "changed since attempt 1"
    ledger.append(rendered(folder, "a", "f2"))
    verdict = ledger.finished("a", "f1")
    assert (verdict.done, verdict.current, verdict.record) == (True, False, first)
    ledger.append(first)
    assert ledger.finished("a", "f1").current


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "is missing"),
        (b"film and more", "has 13 bytes, the ledger says 4"),
        (b"fiLm", "has CRC-32"),
    ],
)
def test_an_object_that_is_not_what_the_ledger_says(
    store: Store, data: bytes | None, words: str
) -> None:
    ledger = Ledger(store)
    record = ledger.append(rendered(store, "a", "f1"))
    assert record.key is not None
    if data is None:
        store.delete(record.key)
    else:
        store.put_bytes(record.key, data, overwrite=True)
    verdict = ledger.finished("a", "f1")
    assert not verdict.done
    assert words in verdict.reason
    assert verdict.record == record
    assert ledger.finished("a", "f1", verify=False).done
    ledger.append(rendered(store, "a", "f1", b"film anew"))
    assert ledger.finished("a", "f1").done


def test_writers_at_the_same_time_get_different_numbers(folder: LocalStore) -> None:
    ledger = Ledger(folder)
    with ThreadPoolExecutor(8) as pool:
        records = list(
            pool.map(lambda n: ledger.append(replace(FAILED, message=str(n))), range(24))
        )
    assert sorted(record.attempt for record in records) == list(range(1, 25))
    assert {r.message for r in ledger.history("a")} == {str(n) for n in range(24)}


def test_a_record_that_another_one_replaced_is_written_again(
    folder: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lets both of two rivals create one object: the last one's content stays."""
    put_bytes = LocalStore.put_bytes

    def lenient(self: LocalStore, key: str, data: bytes, **options: object) -> object:
        info = put_bytes(self, key, data, overwrite=True)
        if key.endswith("000001.json"):
            put_bytes(self, key, to_json(replace(FAILED, message="rival")), overwrite=True)
        return info

    monkeypatch.setattr(LocalStore, "put_bytes", lenient)
    assert Ledger(folder).append(FAILED).attempt == 2
    assert [r.message for r in Ledger(folder).history("a")] == ["no", "rival"]


def test_numbers_that_are_always_taken(folder: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: object, **__: object) -> None:
        raise ObjectExistsError("taken")

    monkeypatch.setattr(LocalStore, "put_bytes", taken)
    with pytest.raises(StoreError, match="100 numbers in a row"):
        numbered.append(folder, "leases/a/", lambda _: b"")


def test_latest_of_many_in_order(folder: LocalStore) -> None:
    ledger = Ledger(folder)
    ids = [f"v{number:03d}" for number in range(READ_AHEAD + 10)] + ["v001.x", "v001-x"]
    for video_id in ids:
        ledger.append(replace(FAILED, id=video_id))
    ledger.append(rendered(folder, "v001", "f1"))
    folder.put_bytes("ledger/v000/notes.txt", b"not a record")
    latest = list(ledger.latest())
    assert [r.id for r in latest] == sorted(ids, key=lambda name: name + "/")
    assert {r.id: r.attempt for r in latest}["v001"] == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"id": "b", "state": "failed", "fingerprint": "f1"}',
        b'{"id": "a", "state": "rendered", "fingerprint": "f1"}',
        b'{"id": "a", "state": "lost", "fingerprint": "f1"}',
        b'{"id": "a", "state": "failed", "fingerprint": "f1", "size_bytes": "4"}',
        b'{"id": "a", "state": "failed", "fingerprint": "f1", "attempt": true}',
    ],
)
def test_a_damaged_record_is_a_failure_by_name(folder: LocalStore, data: bytes) -> None:
    with pytest.raises(ObjectCorruptError, match="where"):
        from_json(data, "where", "a")
    ledger = Ledger(folder)
    ledger.append(replace(FAILED, id="b"))
    folder.put_bytes("ledger/a/000001.json", data)
    broken, fine = ledger.latest()
    assert (broken.id, broken.state, broken.error) == ("a", "failed", "ObjectCorruptError")
    assert fine.id == "b"
    assert not ledger.finished("a", "f1").done
    ledger.append(rendered(folder, "a", "f1"))
    assert ledger.finished("a", "f1").done


def test_a_later_release_may_add_fields() -> None:
    values = json.loads(to_json(FAILED)) | {"format": 2, "mood": "fine"}
    assert from_json(json.dumps(values).encode(), "where", "a") == FAILED


def test_a_key_outside_the_store_is_refused(folder: LocalStore) -> None:
    record = replace(rendered(folder, "a", "f1"), key="../../etc/passwd")
    Ledger(folder).append(record)
    with pytest.raises(StoreError, match="no valid key"):
        Ledger(folder).finished("a", "f1")


def test_results_and_rejected_tables(store: Store, tmp_path: Path) -> None:
    ledger = Ledger(store)
    ledger.append(rendered(store, "a", "f1"))
    ledger.append(replace(FAILED, id="b"))
    put_results(store, ledger.latest())
    put_results(store, ledger.latest())
    store.get_file(keys.RESULTS, tmp_path / "results.parquet")
    first, second = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert (first["id"], first["state"], first["key"]) == ("a", "rendered", "videos/a/f1.mp4")
    assert (first["duration_s"], first["quality"]) == (10.0, [("seam", 1.01)])
    assert (second["id"], second["error"], second["key"]) == ("b", "EncodeError", None)
    bad = Rejection(row=3, id=None, column="id", value=None, reason="missing", file="m.csv")
    put_rejected(store, [bad])
    store.get_file(keys.REJECTED, tmp_path / "rejected.parquet")
    assert pq.read_table(tmp_path / "rejected.parquet").to_pylist() == [
        {"row": 3, "id": None, "column": "id", "value": None, "reason": "missing", "file": "m.csv"}
    ]
    put_rejected(store, [])
    store.get_file(keys.REJECTED, tmp_path / "rejected.parquet")
    assert pq.read_table(tmp_path / "rejected.parquet").num_rows == 0
