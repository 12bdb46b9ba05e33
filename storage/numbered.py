"""Numbered create-only records: the one way to agree through a store without ``If-Match``.

Whoever writes number ``n + 1`` first has it, and everyone else sees that the number is taken.
Ledgers are numbered like this, and so are leases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import ObjectExistsError, ObjectMissingError, StoreError
from storage.keys import number_of, numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.stores import ObjectStore

# A number is only lost to another writer who got it: so many in a row mean a store gone wrong.
MAX_LOST_RACES: Final = 100


def numbers(store: ObjectStore, prefix: str) -> list[int]:
    """The numbers under ``prefix`` (with its slash), ascending; other objects are left alone."""
    found = (number_of(key) for key in store.list_keys(prefix))
    return sorted(number for number in found if number is not None)


def append(store: ObjectStore, prefix: str, write: Callable[[int], bytes]) -> int:
    """Create the next record: ``write`` turns the number it gets into its content.

    Returns:
        The number under which the record now lies.

    Raises:
        StoreError: the store refused, or 100 other writers in a row were quicker.
    """
    present = numbers(store, prefix)
    number = present[-1] + 1 if present else 1
    for _ in range(MAX_LOST_RACES):
        if create(store, prefix, number, write(number)):
            return number
        number += 1
    raise StoreError(
        f"{store.uri}/{prefix}: {MAX_LOST_RACES} numbers in a row, the last {number - 1}, "
        "were taken by others: expected a free one"
    )


def create(store: ObjectStore, prefix: str, number: int, data: bytes) -> bool:
    """Create the record with this number and read it back; false if another writer has it.

    Swift looks whether an object is there before it takes the new one in, not while: of two writers
    at the same instant both can be told that they were first.
    """
    key = numbered(prefix, number)
    try:
        store.put_bytes(key, data, content_type="application/json")
        return store.get_bytes(key) == data
    except (ObjectExistsError, ObjectMissingError):
        return False
