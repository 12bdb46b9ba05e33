"""What is measured, and the one run of it: ``python -m benchmarks.long.work`` in its own process.

Each run is a process of its own, so that memory is its own. It renders a short video first, to load
and to warm up, then measures the long one, and writes what it found to its output as one line of
JSON. Sampling only: decoding is a stream, whatever the length (``benchmarks.decode``).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch

from actors.cluster import ClusterOptions, connected
from actors.gang import Gang
from actors.handles import wait_for
from actors.placement import GangOptions
from benchmarks.long.peers import context_windows, one_pass
from benchmarks.processes import cpu_s_of, memory_of
from jobs.config import load_config
from pipeline.engines.registry import load_engine, read_spec
from pipeline.plan import plan_video
from pipeline.request import VideoSpec, resolve
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from actors.step_report import StepReport
    from actors.take import Take
    from pipeline.engines.protocol import Engine, EngineSpec
    from pipeline.engines.registry import EngineOptions
    from pipeline.plan import VideoPlan

# No guidance: one forward per window and step, for all alike.
SETTINGS = ("defaults.guidance_scale=1",)
WARM_UP_S = 10.0
GANG, CONTEXT, ONE_PASS = "gang", "context windows", "one pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run.

    Attributes:
        method: ``gang``, ``context windows`` or ``one pass``.
        duration_s: length of the video.
        num_steps: denoising steps.
        num_actors: of a gang.
        repeats: how often it is sampled.
    """

    method: str
    duration_s: float
    num_steps: int
    num_actors: int = 1
    repeats: int = 1


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run showed.

    Attributes:
        num_latent_frames: of the video.
        num_forwards: windows that the model saw, over all steps.
        seconds: on the clock, of every repeat.
        processor_s: of all processes that took part, of every repeat.
        peak_bytes: highest resident size of each process that computes, driver last.
        failure: why there is nothing to show.
    """

    num_latent_frames: int
    num_forwards: int = 0
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    failure: str = ""


def plan_of(engine: EngineSpec, duration_s: float, num_steps: int) -> VideoPlan:
    """The video that all make."""
    config = load_config(overrides=[*SETTINGS, f"defaults.num_inference_steps={num_steps}"])
    spec = VideoSpec(id="long", prompt="a hill at dusk", seed=1, duration_s=duration_s)
    return plan_video(resolve(spec, config.defaults, engine), engine, config.render_options)


def measure(job: Job) -> Outcome:
    """Run it in this process (a gang's actors have processes of their own)."""
    config = load_config(overrides=SETTINGS)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if job.method == GANG:
        return _measure_gang(job, config.engine)
    engine = load_engine(config.engine)
    sample = {CONTEXT: context_windows, ONE_PASS: one_pass}[job.method]
    return _measure_peer(job, engine, sample)


def _measure_peer(
    job: Job, engine: Engine, sample: Callable[[VideoPlan, Engine], tuple[Tensor, int]]
) -> Outcome:
    plan = plan_of(engine.spec, job.duration_s, job.num_steps)
    found = Outcome(num_latent_frames=plan.num_latent_frames)
    sample(plan_of(engine.spec, WARM_UP_S, job.num_steps), engine)
    for _ in range(job.repeats):
        started_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            _, found.num_forwards = sample(plan, engine)
        except ValueError as error:
            found.failure = str(error)
            return found
        found.seconds.append(time.perf_counter() - started_s)
        found.processor_s.append(time.process_time() - cpu_s)
    found.peak_bytes = [_peak_bytes(os.getpid())]
    return found


def _measure_gang(job: Job, engine: EngineOptions) -> Outcome:
    plan = plan_of(read_spec(engine), job.duration_s, job.num_steps)
    found = Outcome(num_latent_frames=plan.num_latent_frames)
    options = GangOptions(actors=job.num_actors, threads_per_actor=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        connected(ClusterOptions(num_cpus=job.num_actors)),
        Gang.gathered(engine, options, StoreConfig(uri=folder), "long") as gang,
    ):
        warm_up = gang.begin(plan_of(plan.engine, WARM_UP_S, job.num_steps))
        warm_up.sample(Count())
        pids = [*_pids(gang.begin(plan)), os.getpid()]
        for _ in range(job.repeats):
            count, cpu_s = Count(), _cpu_s(pids)
            started_s = time.perf_counter()
            take = gang.begin(plan)
            take.sample(count)
            found.seconds.append(time.perf_counter() - started_s)
            found.processor_s.append(_cpu_s(pids) - cpu_s)
            found.num_forwards = count.num_windows
        found.peak_bytes = [_peak_bytes(pid) for pid in pids]
    return found


class Count:
    """A watcher that counts windows."""

    def __init__(self) -> None:
        self.num_windows = 0

    def on_start(self, num_segments: int, first_step: int) -> None:
        """Nothing to count yet."""

    def on_step(self, report: StepReport) -> None:
        """Add a step's windows."""
        self.num_windows += report.num_windows

    def on_frames(self, num_frames: int) -> None:
        """Frames are not made here."""


def _pids(take: Take) -> list[int]:
    refs = [handle.identity() for handle in take.handles]
    return [pid for _, pid in wait_for(refs, timeout_s=60.0, doing="asking for process ids")]


def _cpu_s(pids: list[int]) -> float:
    return sum(cpu_s_of(pid) for pid in pids)


def _peak_bytes(pid: int) -> int:
    memory = memory_of(pid)
    assert memory is not None, f"process {pid} is gone"
    return memory.peak


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(measure(job))))


if __name__ == "__main__":
    main()
