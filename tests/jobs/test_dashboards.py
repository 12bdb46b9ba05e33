"""What the dashboard and the alerts ask for is what the code exports, name by name."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import dashboards
from jobs.dashboards import FILES, text_of, write_dashboards
from pipeline.errors import UserError

ROOT = Path(__file__).parents[2]
# Ray's rules: its prefix for all, a suffix for counters; the dispatcher's own port adds nothing.
EXPORTED = {"Total": "ray_{}_total", "Histogram": "ray_{}_bucket", "Gauge": "ray_{}"}
SOURCES = {"actors/metrics.py": EXPORTED, "jobs/metrics.py": EXPORTED}
SOURCES |= {"jobs/queue_metrics.py": {"Gauge": "{}"}}
UNBOUNDED = {"video", "video_id", "segment", "step", "epoch", "prompt", "job"}


def definitions() -> dict[str, ast.Call]:
    """Exported name to the call that makes it."""
    found = {}
    for path, exported in SOURCES.items():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = (
                    node.args[0].value
                    if node.args[:1] and isinstance(node.args[0], ast.Constant)
                    else ""
                )
                if node.func.id in exported and str(name).startswith("nightreel_"):
                    found[exported[node.func.id].format(name)] = node
    return found


def panels() -> list[dict[str, Any]]:
    return [p for p in json.loads(text_of("nightreel.json"))["panels"] if p["type"] != "row"]


def queries() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    rules = yaml.safe_load(text_of("alerts.yml"))["groups"][0]["rules"]
    return asked + [rule["expr"] for rule in rules]


def test_every_name_that_is_asked_for_is_exported_and_every_exported_one_is_asked_for() -> None:
    asked = {name for query in queries() for name in re.findall(r"(?:ray_)?nightreel_\w+", query)}
    assert len(asked) > 10
    assert asked == set(definitions())


def test_no_label_has_values_without_end() -> None:
    for name, call in definitions().items():
        text = ast.unparse(call)
        labels = set(re.findall(r"'(\w+)'", text.split(",", 2)[2]))
        assert not labels & UNBOUNDED, name


def test_panels_have_each_a_number_a_place_and_a_unit() -> None:
    every = json.loads(text_of("nightreel.json"))["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
    assert all(panel["description"].endswith(".") for panel in panels())


def test_files_are_written_and_what_somebody_changed_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert [path.name for path in write_dashboards(folder)] == list(FILES)
    write_dashboards(folder)
    changed = folder / "alerts.yml"
    changed.write_text("groups: []\n")
    with pytest.raises(UserError, match=r"alerts\.yml: is there already, and was changed"):
        write_dashboards(folder)
    assert changed.read_text() == "groups: []\n"


def test_files_of_the_folder_are_all_shipped() -> None:
    there = {path.name for path in Path(dashboards.__file__).parent.glob("*.[jy]*")}
    assert there == set(FILES)
