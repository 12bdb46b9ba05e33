"""The example for Kubernetes is a CronJob whose command nightreel understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from cronsim import CronSim

from jobs.wall_clock import zone_of
from tests.due_times import START

EXAMPLE = Path(__file__).parents[2] / "examples" / "kubernetes-cronjob.yaml"


def test_the_cron_job_parses_and_says_what_the_comment_says() -> None:
    found = yaml.safe_load(EXAMPLE.read_text())
    assert (found["apiVersion"], found["kind"]) == ("batch/v1", "CronJob")
    spec = found["spec"]
    assert next(CronSim(spec["schedule"], START.astimezone(zone_of(spec["timeZone"])))).hour == 1
    assert spec["concurrencyPolicy"] in {"Allow", "Forbid", "Replace"}
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    (script,) = container["args"]
    words = shlex.split(re.sub(r"\$\(date \+%F\)", "2026-11-27", script))
    assert words[:4] == ["exec", "nightreel", "submit", "s3://bucket/prompts/2026-11-27/*.parquet"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment == {"NIGHTREEL_QUEUE": "s3://bucket/queue", "TZ": spec["timeZone"]}
