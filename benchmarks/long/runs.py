"""All runs of a whole measurement, each in a process of its own, none longer than a limit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.command import environment
from benchmarks.long.work import CONTEXT, GANG, ONE_PASS, Job, Outcome, plan_of
from jobs.config import load_config
from pipeline.engines.registry import read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Beyond this a run of one pass counts as no longer fitting; it grows with the square of the length.
LIMIT_S = 300.0
LONG_LIMIT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        num_steps: denoising steps of all runs.
        repeats: lengths in seconds and how often a gang of two renders each.
        context: lengths that context windows render.
        one_pass: lengths that full attention is tried on.
        scaling_s: the length at which one actor stands beside two, and beside context windows.
        seams_s: length of the videos whose joins are measured.
        seams_steps: steps of those.
    """

    num_steps: int
    repeats: Mapping[float, int]
    context: Sequence[float]
    one_pass: Sequence[float]
    scaling_s: float
    seams_s: float
    seams_steps: int


FULL = Extent(
    num_steps=4,
    repeats={10.0: 3, 60.0: 3, 300.0: 2, 600.0: 1, 1800.0: 1},
    context=(10.0, 60.0, 300.0, 600.0),
    one_pass=(10.0, 60.0, 120.0, 240.0, 300.0),
    scaling_s=300.0,
    seams_s=60.0,
    seams_steps=10,
)
QUICK = Extent(
    num_steps=1,
    repeats={10.0: 1, 20.0: 1},
    context=(10.0, 20.0),
    one_pass=(10.0, 300.0),
    scaling_s=20.0,
    seams_s=20.0,
    seams_steps=1,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Outcomes by method and length; those of one actor apart."""

    gang: dict[float, Outcome]
    one_actor: Outcome
    context: dict[float, Outcome]
    one_pass: dict[float, Outcome]


def measure_all(extent: Extent) -> Measurement:
    """Every run, one after another."""
    steps = extent.num_steps

    def peers(method: str, lengths: Sequence[float]) -> dict[float, Outcome]:
        jobs = {d: Job(method=method, duration_s=d, num_steps=steps) for d in lengths}
        return {duration_s: run(job) for duration_s, job in jobs.items()}

    gang = {
        duration_s: run(
            Job(method=GANG, duration_s=duration_s, num_steps=steps, num_actors=2, repeats=repeats)
        )
        for duration_s, repeats in extent.repeats.items()
    }
    one_actor = run(Job(method=GANG, duration_s=extent.scaling_s, num_steps=steps))
    return Measurement(
        gang, one_actor, peers(CONTEXT, extent.context), peers(ONE_PASS, extent.one_pass)
    )


def run(job: Job) -> Outcome:
    """One run; full attention that takes too long is a failure that is reported.

    Raises:
        RuntimeError: anything else that failed.
    """
    command = [sys.executable, "-m", "benchmarks.long.work", json.dumps(asdict(job))]
    limit_s = LIMIT_S if job.method == ONE_PASS else LONG_LIMIT_S
    try:
        done = subprocess.run(
            command,
            env=environment(),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        engine = read_spec(load_config().engine)
        length = plan_of(engine, job.duration_s, job.num_steps).num_latent_frames
        return Outcome(num_latent_frames=length, failure=f"more than {limit_s:g} s")
    if done.returncode != 0:
        raise RuntimeError(f"{job} ended with {done.returncode}:\n{done.stderr.decode()}")
    outcome = Outcome(**json.loads(done.stdout.decode().splitlines()[-1]))
    print(f"{job.method}, {job.duration_s:g} s: {outcome}", flush=True)
    return outcome
