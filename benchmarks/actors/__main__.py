"""``python -m benchmarks.actors [KEY=VALUE]...``: how much faster two actors sample than one.

One thread each, the same video, runs in turn (1, 2, 1, 2, ...), so that whatever else the machine
does falls on both. Settings given replace the ones below, such as ``engine.name=gaussian``.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks.command import render
from benchmarks.hardware import setting
from benchmarks.readme import write_section

README = Path(__file__).parent / "README.md"

NUM_PAIRS = 3
DURATION_S = 75.0

# Of the embedded model: fewer steps than usual, since each is as good a measure as any other.
SETTINGS = ("defaults.num_inference_steps=8",)

LEAST_RATIO = 1.7


def main() -> None:
    settings = tuple(sys.argv[1:]) or SETTINGS
    seconds: dict[int, list[float]] = {1: [], 2: []}
    windows: dict[int, float] = {}
    for _ in range(NUM_PAIRS):
        for num_actors, times_s in seconds.items():
            run = render(DURATION_S, [*settings, *_gang(num_actors)])
            times_s.append(run.timing("sampling_s"))
            windows[num_actors] = run.timing("num_windows")
            print(f"{num_actors} actors: sampling took {times_s[-1]:.2f} s", flush=True)
    text = _table(settings, seconds, windows)
    print(text)
    if settings == SETTINGS:
        write_section(README, "table", text)


def _gang(num_actors: int) -> list[str]:
    return [f"gang.actors={num_actors}", "gang.threads_per_actor=1", "ray.num_cpus=2"]


def _table(
    settings: tuple[str, ...], seconds: dict[int, list[float]], windows: dict[int, float]
) -> str:
    medians = {num_actors: statistics.median(times_s) for num_actors, times_s in seconds.items()}
    ratio = medians[1] / medians[2]
    lines = [
        setting("python -m benchmarks.actors") + f"; `{' '.join(settings)}`, {DURATION_S:g} s.",
        "",
        "| actors, one thread each | windows | sampling, median | every run |",
        "| ---: | ---: | ---: | --- |",
    ]
    for num_actors, times_s in seconds.items():
        every = ", ".join(f"{time_s:.2f} s" for time_s in times_s)
        median = f"{medians[num_actors]:.2f} s"
        lines.append(f"| {num_actors} | {windows[num_actors]:.0f} | {median} | {every} |")
    verdict = "as asked" if ratio >= LEAST_RATIO else "LESS than asked"
    lines += ["", f"Two actors are {ratio:.2f} times as fast (at least {LEAST_RATIO}: {verdict})."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
