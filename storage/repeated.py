"""Which ids stand in more than one row, in 16 bytes a row.

Ids are remembered as 128-bit hashes in flat arrays, so that millions of rows fit; two different
ids are taken for one with a chance of 1e-20 in a manifest of a billion rows.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class RepeatedIds:
    """The ids that occurred more than once; ask with ``in``."""

    def __init__(self, ids: Iterable[str | None]) -> None:
        """Remember all ``ids``; ``None`` stands for a row without one."""
        high, low = array("Q"), array("Q")
        num_rows = 0
        for name in ids:
            num_rows += 1
            if name is not None:
                first, second = _hash(name)
                high.append(first)
                low.append(second)
        self.num_rows = num_rows
        self._pairs = _repeated_pairs(
            np.frombuffer(high, dtype=np.uint64) if high else np.empty(0, np.uint64),
            np.frombuffer(low, dtype=np.uint64) if low else np.empty(0, np.uint64),
        )

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: str) -> bool:
        first, second = _hash(name)
        start = int(np.searchsorted(self._pairs[:, 0], np.uint64(first), "left"))
        end = int(np.searchsorted(self._pairs[:, 0], np.uint64(first), "right"))
        return bool(np.any(self._pairs[start:end, 1] == np.uint64(second)))


def _hash(name: str) -> tuple[int, int]:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])


def _repeated_pairs(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The distinct (high, low) pairs that occur twice or more, sorted, as ``[pairs, 2]``."""
    ordered = np.sort(high)
    candidates = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    chosen = np.isin(high, candidates)
    high, low = high[chosen], low[chosen]
    order = np.lexsort((low, high))
    pairs = np.stack([high[order], low[order]], axis=1)
    same_as_before = np.all(pairs[1:] == pairs[:-1], axis=1)
    return np.unique(pairs[1:][same_as_before], axis=0)
