"""Each guard is taken out in a copy of the tree, and its test fails there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.guards import GUARDS, Guard

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.longest]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 280.0
# Weights and pictures are no part of what is guarded.
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.png")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for folder in ("pipeline", "actors", "storage", "jobs", "benchmarks", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.trap}: {guard.name}")
def test_without_its_guard_a_trap_is_noticed(tree: Path, guard: Guard) -> None:
    whole = guard.take_out(tree)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", guard.test],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    finally:
        (tree / guard.file).write_text(whole, encoding="utf-8")
    # Failed, as against not found (4), not collected (2) or nothing run (5). Where a fixture looks
    # at what is left behind, it may complain too.
    print(done.stdout[-6000:])
    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"^\d+ failed", done.stdout.splitlines()[-1]), done.stdout[-500:]
