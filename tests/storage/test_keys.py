"""Keys can't leave their folder, and numbered ones sort as numbers."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StoreError
from storage import keys

FINGERPRINT = "0123456789abcdef0123"


def test_the_scheme() -> None:
    assert keys.video("cat-1", FINGERPRINT) == f"videos/cat-1/{FINGERPRINT}.mp4"
    assert keys.poster("cat-1", FINGERPRINT) == f"videos/cat-1/{FINGERPRINT}.jpg"
    assert keys.sidecar("cat-1", FINGERPRINT) == f"videos/cat-1/{FINGERPRINT}.json"
    assert keys.ledger("cat-1", 7) == "ledger/cat-1/000007.json"
    expected = f"checkpoints/cat-1/{FINGERPRINT}/step-0004/00-31.safetensors"
    assert keys.checkpoint("cat-1", FINGERPRINT, "step-0004/00-31.safetensors") == expected


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a\n", "a" * 129, "ä", "a\x00", "٣"],
)
def test_ids_that_are_no_key_part(name: str) -> None:
    assert not keys.is_safe_id(name)
    with pytest.raises(StoreError, match="no valid key part"):
        keys.video(name, FINGERPRINT)


@pytest.mark.parametrize("name", ["a", "7", "A.b_c-d", "x..y", "a" * 128])
def test_ids_that_are_fine(name: str) -> None:
    assert keys.is_safe_id(name)
    assert keys.video(name, FINGERPRINT).split("/")[1] == name


@given(st.text(max_size=140))
def test_no_id_reaches_outside_its_folder(name: str) -> None:
    if not keys.is_safe_id(name):
        return
    path = PurePosixPath(keys.video(name, FINGERPRINT))
    assert path.parts == ("videos", name, f"{FINGERPRINT}.mp4")
    assert keys.checked(str(path)) == str(path)


@given(st.lists(st.integers(1, keys.MAX_ATTEMPT), unique=True))
def test_listing_order_is_numeric_order(attempts: list[int]) -> None:
    by_key = sorted(keys.ledger("a", attempt) for attempt in attempts)
    assert [keys.number_of(key) for key in by_key] == sorted(attempts)


@pytest.mark.parametrize("number", [0, -1, 1_000_000])
def test_numbers_out_of_range(number: int) -> None:
    with pytest.raises(StoreError, match="record number"):
        keys.ledger("a", number)


@pytest.mark.parametrize("key", ["ledger/a/1.json", "ledger/a/000001.txt", "ledger/a/000000.json"])
def test_other_objects_have_no_number(key: str) -> None:
    assert keys.number_of(key) is None
