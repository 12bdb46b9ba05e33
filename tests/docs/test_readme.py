"""What the README says works as written: its manifest is written, its commands are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NIGHTREEL = str(Path(sys.executable).with_name("nightreel"))

# Commands that need what a test machine has not: a bucket, a checkpoint, a cluster, five minutes.
# The demo's manifest is rendered by the tour, and by make demo.
NEEDS_MORE = ("s3://", "engine.weights=", "--address", "five-minutes", "nightreel demo")


# Told in a test of its own, with a head of its own.
TOUR = "## The night shift\n"


def _blocks(language: str) -> list[str]:
    before, _, tour = README.partition(TOUR)
    after = tour.partition("\n## ")[2]
    return re.findall(rf"```{language}\n(.*?)```", before + after, flags=re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if "nightreel " in line]
    return [command for command in commands if not any(x in " ".join(command) for x in NEEDS_MORE)]


@pytest.mark.slow
def test_every_command_of_the_readme_has_help() -> None:
    named = {command[1] for command in _commands()}
    assert {"render", "validate", "engines"} <= named
    for name in named:
        subprocess.run([NIGHTREEL, name, "--help"], check=True, capture_output=True, timeout=60)


def test_links_and_pictures_are_there() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_manifest_and_the_commands_work_as_written(tmp_path: Path) -> None:
    for block in _blocks("python"):
        subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path, timeout=60)
    for command in _commands():
        subprocess.run([NIGHTREEL, *command[1:]], check=True, cwd=tmp_path, timeout=600)
    durations = {}
    for video in (tmp_path / "out" / "videos").glob("*/*.mp4"):
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            frames = sum(1 for _ in container.decode(video=0))
            durations[video.parent.name] = frames / float(stream.average_rate or 0)
    assert durations["dune"] == 15.0
    assert durations["storm"] == 10.0
