"""``python -m benchmarks.fleet [VIDEOS]``: share of actors' time in the model; latency, cold, warm.

A manifest of short videos of mixed lengths goes through the real driver, planner, actors, encoder
and store, with the embedded model on two actors. With another number of VIDEOS than usual the
README stays as it is.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fleet.manifest import write_manifest
from benchmarks.fleet.times import Times
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line, positive_int
from jobs.config import load_config
from jobs.desk import Desk
from jobs.engine_source import engine_spec
from jobs.estimate_job import estimate_manifest
from jobs.measured_pace import pace_for
from jobs.orders import Orders
from jobs.progress_fan import ProgressFan
from jobs.render import Job, JobSummary
from jobs.shift import Shift
from jobs.studio import Studio
from jobs.triage import Triage
from storage.leases import Leases
from storage.ledger import Ledger
from storage.manifest import Manifest
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.usage import ActorUsage

README = Path(__file__).parent / "README.md"
NUM_VIDEOS = 24
SETTINGS = ("gang.actors=2", "gang.threads_per_actor=1")

LEAST_SHARE = 0.90
MOST_TURNOVER_S = 0.1


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a run showed.

    Attributes:
        times: of every video.
        usage: of every actor, from the first step to the last video's end.
        duration_s: of that.
        film_s: of all videos.
        estimated_s: what ``nightreel estimate`` makes of the same manifest, by the pace of these
            videos.
    """

    times: Times
    usage: list[ActorUsage]
    duration_s: float
    film_s: float
    estimated_s: float

    @property
    def share(self) -> float:
        """Of all actors' time in the model."""
        return sum(each.model_s for each in self.usage) / (len(self.usage) * self.duration_s)

    @property
    def turnovers_s(self) -> list[float]:
        """Of all actors."""
        return [took_s for each in self.usage for took_s in each.turnovers_s]


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    about = f"how many are rendered, {NUM_VIDEOS} by default"
    parser.add_argument(
        "videos", metavar="VIDEOS", nargs="?", type=positive_int, default=NUM_VIDEOS, help=about
    )
    num_videos = parser.parse_args(words).videos
    got = run(num_videos)
    text = f"{setting('python -m benchmarks.fleet')}.\n\n{table(got)}"
    print(text)
    if num_videos == NUM_VIDEOS:
        write_section(README, "table", text)


def run(num_videos: int, *settings: str) -> Fleet:
    """Render a manifest of so many videos, with everything that the command does but its words."""
    with tempfile.TemporaryDirectory(prefix="nr-fleet-") as folder:
        path = Path(folder) / "videos.jsonl"
        film_s = write_manifest(path, num_videos)
        config = load_config(overrides=[*SETTINGS, *settings])
        job = Job(manifest=str(path), store=StoreConfig(uri=f"{folder}/out"), config=config)
        store, times = job.store(), Times()
        triage = Triage(config, engine_spec(config), Ledger(store))
        leases, summary, orders = Leases(store, config.lease), JobSummary(), Orders()
        desk = Desk(job, triage, leases, summary, ProgressFan(times), orders)
        with Studio(config, job.store, "benchmark") as studio:
            shift = Shift(desk, studio, pace_for(config, triage.engine))
            shift.see_to(triage.rows(Manifest.open(job.manifest)))
            ended_s, usage = time.perf_counter(), studio.gang().usage()
        assert len(summary.rendered) == num_videos, summary
        estimated_s = _estimated_s(job, len(usage))
    return Fleet(times, usage, ended_s - min(times.sampling_s.values()), film_s, estimated_s)


def _estimated_s(job: Job, num_actors: int) -> float:
    """What the whole manifest would take, by the pace of what was just rendered of it."""
    found = estimate_manifest(
        job.manifest, job.config, num_gpus=num_actors, sources=[job.store.uri]
    )
    assert found.makespan_s is not None
    return found.makespan_s


def table(got: Fleet) -> str:
    """What was measured, in words and numbers."""
    times, videos = got.times, sorted(got.times.sampling_s, key=got.times.sampling_s.__getitem__)
    first, warm = videos[0], videos[len(got.usage) :]
    alone = sum(number == 1 for number in times.num_segments.values())
    shares = ", ".join(f"{100 * each.model_s / got.duration_s:.1f} %" for each in got.usage)
    turnovers_s = sorted(got.turnovers_s)
    rows = [
        ("videos, film", f"{len(videos)}, {got.film_s:.0f} s"),
        ("from the first step to the last film's end", f"{got.duration_s:.1f} s"),
        ("estimated by these videos' pace", f"{got.estimated_s:.1f} s"),
        ("videos on one actor, on all", f"{alone}, {len(videos) - alone}"),
        ("time in the model, by actor", shares),
        ("last step of a video to first of the next: median", f"{1e3 * _mid(turnovers_s):.0f} ms"),
        ("longest", f"{1e3 * turnovers_s[-1]:.0f} ms" if turnovers_s else "none"),
        ("cold: nothing runs, to the first frame", f"{times.frame_s[first] - times.begun_s:.1f} s"),
        ("cold: to the first film", f"{min(times.finished_s.values()) - times.begun_s:.1f} s"),
        ("warm: a video's turn to its first frame, median", _after(times, times.frame_s, warm)),
        ("warm: to its film, median", _after(times, times.finished_s, warm)),
    ]
    lines = ["| what | figure |", "| --- | --- |"]
    lines += [f"| {what} | {figure} |" for what, figure in rows]
    return "\n".join([*lines, "", _verdict(got)])


def _mid(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


def _after(times: Times, when_s: dict[str, float], videos: list[str]) -> str:
    took_s = [when_s[video] - times.turn_s[video] for video in videos]
    return f"{_mid(took_s):.1f} s"


def _verdict(got: Fleet) -> str:
    share = "as asked" if got.share >= LEAST_SHARE else "LESS than asked"
    middle_s = _mid(got.turnovers_s)
    turnover = "as asked" if middle_s <= MOST_TURNOVER_S else "LONGER than asked"
    return (
        f"{100 * got.share:.1f} % of the actors' time is spent in the model (at least "
        f"{100 * LEAST_SHARE:g} %: {share}); a warm actor begins its next video within "
        f"{1e3 * middle_s:.0f} ms (at most {1e3 * MOST_TURNOVER_S:g} ms: {turnover})."
    )


if __name__ == "__main__":
    main()
