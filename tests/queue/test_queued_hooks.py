"""Hooks of a queued job, from its driver to the operator's processes: no row needs a cluster."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jobs import queued
from jobs.admission import WINDOW
from jobs.exit_codes import ExitCode
from jobs.submission import settings_of
from storage.job_queue import JobQueue
from storage.local import LocalStore
from storage.rejected import read_rejected
from tests.manifests import SMALL, row, write
from tests.queue.jobs import request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VETO = """
import json, sys
prompt = json.load(sys.stdin)["prompts"][0]["prompt"]
print("no", prompt)
sys.exit({"a weapon": 1, "a crash": 7}.get(prompt, 0))
"""
# Tells what it was told, and fails.
TELL = "import json, sys; json.dump(json.load(sys.stdin), open(sys.argv[1], 'x')); sys.exit(9)"


@pytest.fixture(autouse=True)
def _signal() -> Iterator[None]:
    """The driver's own handler goes with it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class Hooked:
    """A job all of whose hooks are set, and what they were told."""

    def __init__(self, folder: Path, *prompts: str, strict: bool = False) -> None:
        self._folder = folder
        rows = [row(f"clip-{n}", prompt=prompt) for n, prompt in enumerate(prompts)]
        manifest = write(folder / "manifest.parquet", rows)
        names = ("finished", "failed", "late")
        hooks = {f"on_{n}": [sys.executable, "-c", TELL, str(folder / n)] for n in names}
        hooks["veto"] = [sys.executable, "-c", VETO]
        values = [f"hooks.{name}={json.dumps(shlex.join(hooks[name]))}" for name in hooks]
        _, settings = settings_of(None, [], [*SMALL, *values])
        self.queue = JobQueue(LocalStore(folder / "queue"))
        self.output = str(folder / "out")
        asked = {"manifest": str(manifest), "output": self.output, "settings": settings}
        self.queue.submit(request("night", strict=strict, **asked))
        self.log = self.queue.log("night")

    def drive(self) -> int:
        self.log.write("started", by="test")
        return queued.main(["night", "--queue", str(self._folder / "queue")])

    def told(self) -> dict[str, dict[str, Any]]:
        names = ("finished", "failed", "late")
        found = {name: self._folder / name for name in names}
        return {n: json.loads(path.read_bytes()) for n, path in found.items() if path.exists()}


def test_rows_that_the_veto_refuses_or_can_t_judge_are_rejected_by_name(tmp_path: Path) -> None:
    night = Hooked(tmp_path, "a weapon", "a crash")
    assert night.drive() == ExitCode.SOME_FAILED
    ((event, facts),) = night.told().items()
    assert event == facts["event"] == "finished"
    assert (facts["job"], facts["owner"], facts["output"]) == ("night", "ann", night.output)
    assert (facts["exit_code"], facts["rendered"], facts["rejected"]) == (3, 0, 2)
    # The hook itself ended badly, which changes nothing.
    assert night.queue.job("night").state == "finished"
    rejected = read_rejected(LocalStore(tmp_path / "out"))
    said = {each.id: each.reason for each in rejected}
    assert said["clip-0"] == "refused by hooks.veto: no a weapon"
    assert "gave no answer" in said["clip-1"]
    assert said["clip-1"].endswith("exit status 7")


def test_a_job_that_could_not_go_on_tells_why(tmp_path: Path) -> None:
    night = Hooked(tmp_path, "fog\x07", strict=True)
    assert night.drive() == ExitCode.USAGE
    ((event, facts),) = night.told().items()
    assert (event, facts["exit_code"]) == ("failed", 2)
    assert facts["reason"] == night.queue.job("night").events[-1].reason
    assert "row 1" in facts["reason"]


@pytest.mark.parametrize("cause", [WINDOW, "a person"])
def test_only_the_end_of_its_window_makes_a_job_late(tmp_path: Path, cause: str) -> None:
    night = Hooked(tmp_path, "a red ball")
    start = night.log.write("started", by="test")
    night.log.write("pause_asked", by="test", cause=cause)
    assert start.number == 1
    assert queued.main(["night", "--queue", str(tmp_path / "queue")]) == ExitCode.ALL_RENDERED
    assert night.queue.job("night").state == "paused"
    assert list(night.told()) == (["late"] if cause == WINDOW else [])
