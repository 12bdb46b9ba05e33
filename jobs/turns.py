"""In what order a manifest's rows are rendered: the planner's turns.

Higher priorities go first, then earlier deadlines; rows that say neither keep the manifest's order
and are read as a stream. Only rows that leave that order are held in memory.
"""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING

from pipeline.planning.task import turn
from storage.manifest import ManifestRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.manifest import Manifest
    from storage.rejected import Rejection

# Of a row that says nothing.
_PLAIN = turn(0, None)


def in_turn(manifest: Manifest) -> Iterator[ManifestRow | Rejection]:
    """Every row, good and bad, in the order in which it is to be seen to.

    Raises:
        ManifestError: a file is damaged, gone or has changed since the manifest was opened.
    """
    turns = ((_turn_of(row), row) for row in manifest.rows() if isinstance(row, ManifestRow))
    held = sorted(((key, row) for key, row in turns if key != _PLAIN), key=itemgetter(0))
    yield from (row for key, row in held if key < _PLAIN)
    for row in manifest.rows():
        if not isinstance(row, ManifestRow) or _turn_of(row) == _PLAIN:
            yield row
    yield from (row for key, row in held if key > _PLAIN)


def _turn_of(row: ManifestRow) -> tuple[int, float]:
    deadline = row.spec.deadline
    due_s = None if deadline is None else datetime.fromisoformat(deadline).timestamp()
    return turn(row.spec.priority, due_s)
