"""Benchmarks still run: each at its least, as the command that a person types."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.command import environment

ROOT = Path(__file__).parents[2]
# What each is asked, and something that it says only once all was measured.
RUNS = {
    "decode": ("--quick", "By pieces is "),
    "efficiency": ("--quick", "| 0.01 s | 480p | 2 |"),
    "exchange": ("--quick", "| 2 | 1 MiB |"),
    "fleet": ("3", "of the actors' time is spent in the model"),
    "long": ("--quick", "one pass, at a gang's joins"),
    "speed": ("--tiny", "| `batch_guidance` | 0."),
}


def digests() -> dict[Path, str]:
    """Of all that a benchmark could write to, or leave behind in its folder."""
    paths = (path for path in (ROOT / "benchmarks").rglob("*") if path.suffix != ".pyc")
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.is_file()}


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RUNS)
def test_a_quick_run_ends_well_and_leaves_the_readme_alone(name: str) -> None:
    word, says = RUNS[name]
    before = digests()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", word],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert digests() == before
