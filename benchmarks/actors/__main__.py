"""``python -m benchmarks.actors [KEY=VALUE]...``: how much faster two actors sample than one.

One thread each, the same video, runs in turn (1, 2, 1, 2, ...), so that whatever else the machine
does falls on both. A real gang on a real Ray cluster, from the first step to the last; decoding,
which one actor does alone, is not counted. Settings given replace the ones below.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from actors.cluster import ClusterOptions, connected
from actors.gang import Gang
from actors.placement import GangOptions
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from jobs.config import load_config
from pipeline.engines.registry import read_spec
from pipeline.errors import ConfigError
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoSpec, resolve
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.step_report import StepReport
    from jobs.settings import JobConfig

README = Path(__file__).parent / "README.md"

NUM_PAIRS = 2
DURATION_S = 150.0
WARM_UP_S = 6.0

# Of the embedded model: fewer steps than usual, since each is as good a measure as any other.
SETTINGS = ("defaults.num_inference_steps=6",)

LEAST_RATIO = 1.7


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument("settings", metavar="KEY=VALUE", nargs="*", help="as of nightreel render")
    settings = tuple(parser.parse_args(words).settings) or SETTINGS
    try:
        config = load_config(overrides=settings)
    except ConfigError as error:
        parser.error(str(error))
    seconds: dict[int, list[float]] = {1: [], 2: []}
    windows: dict[int, int] = {}
    with connected(ClusterOptions(num_cpus=2)):
        for _ in range(NUM_PAIRS):
            for num_actors, times_s in seconds.items():
                time_s, windows[num_actors] = _sample(config, num_actors)
                times_s.append(time_s)
                print(f"{num_actors} actors: sampling took {time_s:.2f} s", flush=True)
    text = _table(settings, seconds, windows)
    print(text)
    if settings == SETTINGS:
        write_section(README, "table", text)


class _Count:
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


def _sample(config: JobConfig, num_actors: int) -> tuple[float, int]:
    """Seconds from the first step to the last, on actors that are warm, and windows computed."""
    options = GangOptions(actors=num_actors, threads_per_actor=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Gang.gathered(config.engine, options, StoreConfig(uri=folder), "benchmark") as gang,
    ):
        gang.begin(_plan(config, WARM_UP_S)).sample(_Count())
        take, count = gang.begin(_plan(config, DURATION_S)), _Count()
        started_s = time.perf_counter()
        take.sample(count)
        return time.perf_counter() - started_s, count.num_windows


def _plan(config: JobConfig, duration_s: float) -> VideoPlan:
    engine = read_spec(config.engine)
    spec = VideoSpec(id="benchmark", prompt="a hill at dusk", seed=1, duration_s=duration_s)
    options = RenderOptions(
        boundary=config.boundary,
        noise=config.noise,
        sampler=config.sampler,
        prompts=config.prompts,
    )
    return plan_video(resolve(spec, config.defaults, engine), engine, options)


def _table(
    settings: tuple[str, ...], seconds: dict[int, list[float]], windows: dict[int, int]
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
