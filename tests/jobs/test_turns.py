"""The order in which a manifest is rendered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jobs.turns import in_turn
from storage.manifest import Manifest, ManifestRow

if TYPE_CHECKING:
    from pathlib import Path


def order(folder: Path, rows: list[dict[str, object]]) -> list[str | None]:
    path = folder / "videos.jsonl"
    path.write_text("".join(json.dumps({"prompt": "a", **row}) + "\n" for row in rows))
    found = in_turn(Manifest.open(str(path)))
    return [row.spec.id if isinstance(row, ManifestRow) else row.id for row in found]


def test_rows_go_by_priority_then_deadline_then_as_they_stand(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "first"},
        {"id": "least", "priority": -2},
        {"id": "noon", "deadline": "2030-01-31T12:00:00+00:00"},
        {"id": "bad", "priority": "much"},
        {"id": "morning", "deadline": "2030-01-31T12:30:00+02:00"},
        {"id": "second"},
        {"id": "most", "priority": 7},
        {"id": "less", "priority": -1},
        {"id": "less-but-due", "priority": -1, "deadline": "2040-01-01T00:00:00+00:00"},
        {"id": "also-most", "priority": 7},
    ]
    assert order(tmp_path, rows) == [
        *("most", "also-most", "morning", "noon", "first", "bad", "second"),
        *("less-but-due", "less", "least"),
    ]


def test_rows_that_say_neither_keep_their_order(tmp_path: Path) -> None:
    ids = ["b", "a", "d", "c"]
    assert order(tmp_path, [{"id": video_id} for video_id in ids]) == ids
