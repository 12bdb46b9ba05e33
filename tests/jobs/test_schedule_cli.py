"""The commands of schedules, as a user types them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.errors import NightreelError, UserError
from storage.job_queue import JobQueue
from storage.open import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("NIGHTREEL_QUEUE", str(tmp_path / "queue"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=True)
        if isinstance(result.exception, NightreelError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def add(run: Callable[..., str], *more: str, cron: str = "0 1 * * *") -> dict[str, Any]:
    given = ("--cron", cron, "--timezone", "Europe/Paris", "--manifest", "in/{date}/*.csv")
    text = run("schedule", "add", "nightly", *given, "--output", "out/{date}", *more, "--json")
    values: dict[str, Any] = json.loads(text)
    return values


def test_a_schedule_s_life(run: Callable[..., str], tmp_path: Path) -> None:
    added = add(
        run, "gang.actors=2", "--not-after", "07:00", "--starting-deadline", "2h", "--owner", "ada"
    )
    assert added["settings"] == ["gang.actors=2"]
    assert added["manifest"] == str(tmp_path / "in/{date}/*.csv")
    assert (added["starting_deadline_s"], added["not_after"]) == (7200, "07:00")
    assert json.loads(run("schedule", "list", "--json")) == [added]
    due = json.loads(run("schedule", "next", "nightly", "-n", "3", "--json"))
    nights = [datetime.fromisoformat(each["nominal_at"]) for each in due]
    assert len(nights) == 3
    assert {night.hour for night in nights} == {1}
    assert due[0]["manifest"] == str(tmp_path / f"in/{nights[0].date()}/*.csv")
    assert due[0]["job"] == f"nightly-{nights[0].astimezone(UTC):%Y%m%dT%H%M%SZ}"
    assert "suspended" in run("schedule", "suspend", "nightly")
    assert "suspended" in run("schedule", "list")
    assert "none of them is submitted" in run("schedule", "next", "nightly")
    assert "next" in run("schedule", "resume", "nightly")
    assert run("scheduler", "--once") == ""
    assert "nothing was due yet" in run("schedule", "history", "nightly")
    run("schedule", "remove", "nightly")
    assert "no schedules" in run("schedule", "list")
    with pytest.raises(UserError, match="no schedule 'nightly'"):
        run("schedule", "next", "nightly")


def test_run_now_submits_beside_what_is_due(run: Callable[..., str], tmp_path: Path) -> None:
    add(run, "--not-after", "07:00")
    made = json.loads(run("schedule", "run-now", "nightly", "--at", "2026-03-29T02:30", "--json"))
    assert made["manifest"] == str(tmp_path / "in/2026-03-29/*.csv")
    assert made["nominal_at"] == "2026-03-29T03:00:00+02:00"
    assert made["job"].endswith("Z-manual")
    job = JobQueue(open_store(str(tmp_path / "queue"))).job(made["job"])
    assert (job.request.schedule, job.request.window, job.state) == ("nightly", None, "queued")
    (past,) = json.loads(run("schedule", "history", "nightly", "--json"))
    assert (past["outcome"], past["by_hand"], past["state"]) == ("submitted", True, "queued")


def test_a_manifest_that_is_not_there_is_an_outcome_and_can_be_made_up_for(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(run, "--catch-up", "all", cron="* * * * *")
    later = datetime.now(UTC) + timedelta(minutes=2)
    monkeypatch.setattr("jobs.schedule_cli._now", lambda: later)
    assert run("scheduler", "--once").count("skipped: no manifest") == 2
    (first, _) = json.loads(run("schedule", "history", "nightly", "--json"))
    folder = tmp_path / "in" / datetime.fromisoformat(first["nominal_at"]).date().isoformat()
    assert (first["outcome"], first["reason"]) == ("skipped", "no manifest")
    assert str(tmp_path / "in") in first["message"]
    last = later.astimezone(ZoneInfo("Europe/Paris")) + timedelta(minutes=1)
    for day in (folder.name, last.date().isoformat()):
        (tmp_path / "in" / day).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / day / "rows.csv").write_text("id,prompt\na,a red ball\n")
    later += timedelta(minutes=1)
    assert "submitted" in run("scheduler", "--once")
    assert "skipped: no manifest" in run("schedule", "history", "nightly")


def test_add_is_for_new_schedules_and_update_keeps_what_was_due(run: Callable[..., str]) -> None:
    first = add(run)
    with pytest.raises(UserError, match="exists; change it with --update"):
        add(run)
    run("schedule", "suspend", "nightly")
    updated = add(run, "--update", "--priority", "5")
    assert (updated["priority"], updated["since"]) == (5, first["since"])
    assert updated["state"] == "suspended"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--manifest", "in/{dat}.csv"), r"no placeholder \{dat\}; there are \{date\}"),
        (("--output", "out/{"), "a brace without its other"),
        (("--cron", "0 25 * * *"), "Bad hour; expected minute, hour"),
        (("--timezone", "Mars/Base"), "'Mars/Base' is not known"),
        (("--not-after", "7"), "expected HH:MM"),
        (("--not-after", "01:00"), "a window must end later than it begins"),
        (("--starting-deadline", "soon"), "expected a number with s, m, h or d"),
        (("boundary.mod=halo",), r"did you mean boundary\.mode\?"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    run: Callable[..., str], more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        add(run, *more)
    assert "no schedules" in run("schedule", "list")
