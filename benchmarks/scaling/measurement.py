"""The runs: the same video in four lengths, each by a command of its own."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.command import render
from benchmarks.scaling.bound import state_bytes
from benchmarks.scaling.roles import memory_by_role, processor_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.command import Run
    from benchmarks.processes import Memory

NUM_ACTORS = 2
SETTINGS = (
    "engine.name=gaussian",
    "defaults.width=256",
    "defaults.height=144",
    f"gang.actors={NUM_ACTORS}",
    f"gang.actors_per_video={NUM_ACTORS}",
    "gang.threads_per_actor=1",
    f"ray.num_cpus={NUM_ACTORS}",
)

# Seconds of video, and how often each is rendered: a tenth of a second is more in a short run.
REPEATS: Mapping[float, int] = {60.0: 3, 120.0: 2, 300.0: 2, 600.0: 2}


@dataclass(frozen=True, slots=True)
class Measurement:
    """All runs, by the length of the video in seconds."""

    runs: dict[float, list[Run]] = field(default_factory=dict)

    def fastest(self, name: str) -> dict[float, float]:
        """The lowest of a timing at every length: whatever else a machine does only ever adds."""
        return {
            duration_s: min(run.timing(name) for run in runs)
            for duration_s, runs in sorted(self.runs.items())
        }

    def processor_s(self) -> dict[float, float]:
        """The median processor time at every length."""
        return {
            duration_s: statistics.median(processor_s(run) for run in runs)
            for duration_s, runs in sorted(self.runs.items())
        }

    def memory(self, duration_s: float) -> dict[str, Memory]:
        """The memory of every role at one length: of several runs, the lower middle by peak."""
        runs = [memory_by_role(run) for run in self.runs[duration_s]]
        roles = dict.fromkeys(role for run in runs for role in run)
        by_peak = {
            role: sorted((run[role] for run in runs if role in run), key=lambda m: m.peak)
            for role in roles
        }
        return {role: found[(len(found) - 1) // 2] for role, found in by_peak.items()}

    def state_bytes(self, duration_s: float) -> float:
        """One actor's share of the latent state."""
        return state_bytes(self.runs[duration_s][0].sidecar, duration_s) / NUM_ACTORS


def measure(repeats: Mapping[float, int]) -> Measurement:
    """Render every length as often as asked, in rounds, so that slow hours fall on all alike."""
    measurement = Measurement()
    for turn in range(max(repeats.values())):
        for duration_s in (d for d, times in repeats.items() if turn < times):
            run = render(duration_s, SETTINGS)
            measurement.runs.setdefault(duration_s, []).append(run)
            print(f"{duration_s:g} s of video: {run.sidecar['timings']}", flush=True)
    return measurement
