"""``python -m benchmarks.recovery``: what being ready for faults costs while there are none.

Two actors with nine windows each at the latent sizes of Wan at 480p. A window takes a second, in
which the actor sleeps as one does that waits for its GPU. The same video without snapshots, with
one every fourth step, and with one after every step; states and boundaries are those of a real
render, only the model is the closed form.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from actors.cluster import ClusterOptions, connected
from actors.cuts import CheckpointOptions
from actors.gang import Gang
from actors.placement import GangOptions
from benchmarks.hardware import setting
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from pipeline.delivery import DeliveryOrder
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.engines.gaussian import GaussianOptions, spec
from pipeline.engines.registry import EngineOptions
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve
from storage.open import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.step_report import StepReport

README = Path(__file__).parent / "README.md"

WINDOW_S = 1.0
ENGINE = GaussianOptions(channels=16, window_latent_frames=21, window_cost_s=WINDOW_S)
WIDTH_PX, HEIGHT_PX = 832, 480
# Eighteen cores of 17 latent frames: nine windows for each of two segments, ten at some steps.
NUM_FRAMES = 1 + 4 * (18 * 17 - 1)
NUM_STEPS = 8
INTERVALS = (0, 4, 1)
# What is asked is asked of a snapshot every fourth step, which is five times as many as ``auto``
# takes of steps of ten seconds; one after every step shows the worst.
ASKED_OF = 4
MOST_SHARE = 0.02
OBJECT_STORE_BYTES = 1 << 30


@dataclass
class Figures:
    """A watcher that collects what steps and snapshots took."""

    compute_s: list[float] = field(default_factory=list)
    save_s: list[float] = field(default_factory=list)
    write_s: list[float] = field(default_factory=list)
    stored_bytes: int = 0
    sent_bytes: int = 0
    retained_bytes: int = 0
    sampling_s: float = 0.0

    def on_start(self, num_segments: int, first_step: int) -> None:
        """Nothing yet."""

    def on_step(self, report: StepReport) -> None:
        """Add up a step."""
        self.compute_s.append(report.compute_s)
        self.save_s.append(report.save_s)
        self.sent_bytes = max(self.sent_bytes, report.sent_bytes)
        for saved in report.saved:
            self.write_s.append(saved.write_s)
            self.stored_bytes = max(self.stored_bytes, sum(p.size_bytes for p in saved.parts))

    def on_frames(self, num_frames: int) -> None:
        """Frames are not made here."""

    @property
    def save_share(self) -> float:
        """Seconds that steps were held up by snapshots, of all seconds of steps."""
        return sum(self.save_s) / sum(self.compute_s)


def main(words: Sequence[str] | None = None) -> None:
    command_line(__package__, __doc__).parse_args(words)
    options = ClusterOptions(num_cpus=2, object_store_memory_bytes=OBJECT_STORE_BYTES)
    with connected(options):
        figures = {every: _sample(every) for every in INTERVALS}
    text = _table(figures)
    print(text)
    write_section(README, "table", text)


def _sample(every_steps: int) -> Figures:
    figures = Figures()
    with (
        tempfile.TemporaryDirectory() as folder,
        Gang.gathered(
            EngineOptions(name="gaussian", gaussian=ENGINE),
            GangOptions(actors=2),
            StoreConfig(uri=folder),
            "benchmark",
            CheckpointOptions(every_steps=every_steps),
        ) as gang,
    ):
        take = gang.begin(_plan(), order=_order(keeps_latents=every_steps > 0))
        started_s = time.perf_counter()
        take.sample(figures)
        figures.sampling_s = time.perf_counter() - started_s
        figures.retained_bytes = take.retained.max_bytes
    print(f"every {every_steps} steps: {figures.sampling_s:.2f} s", flush=True)
    return figures


def _plan() -> VideoPlan:
    engine = spec(ENGINE)
    request = resolve(
        VideoSpec(
            id="benchmark",
            prompt="a hill at dusk",
            seed=1,
            num_frames=NUM_FRAMES,
            width=WIDTH_PX,
            height=HEIGHT_PX,
            num_inference_steps=NUM_STEPS,
        ),
        VideoDefaults(),
        engine,
    )
    return plan_video(request, engine, RenderOptions())


def _order(*, keeps_latents: bool) -> DeliveryOrder:
    return DeliveryOrder(
        video_key="videos/benchmark/film.mp4",
        poster_key="videos/benchmark/film.jpg",
        checkpoints_prefix="checkpoints/benchmark/film/",
        keeps_latents=keeps_latents,
        encode=EncodeOptions(),
        provenance=Provenance(title="benchmark", engine="gaussian", version="0"),
    )


def _table(figures: dict[int, Figures]) -> str:
    mib = 1 << 20
    base_s = figures[0].sampling_s
    lines = [
        setting("python -m benchmarks.recovery") + ".",
        "",
        "| snapshot every | a step, median | held up by it, a step on average | of the step |"
        " one segment's share | written in, median | boundaries kept, at most | sampling, all |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for every, got in figures.items():
        share = f"{100 * got.save_share:.2f} %"
        held_ms = 1000 * statistics.fmean(got.save_s)
        stored = f"{got.stored_bytes / mib:.0f} MiB" if every else "-"
        written = f"{statistics.median(got.write_s):.2f} s" if got.write_s else "-"
        name = {0: "never", 1: "step"}.get(every, f"{every} steps")
        lines.append(
            f"| {name} | {statistics.median(got.compute_s):.2f} s | {held_ms:.0f} ms | {share} | "
            f"{stored} | {written} | {got.retained_bytes / mib:.1f} MiB | "
            f"{got.sampling_s:.1f} s ({100 * (got.sampling_s / base_s - 1):+.1f} %) |"
        )
    asked_share = figures[ASKED_OF].save_share
    verdict = "as asked" if asked_share <= MOST_SHARE else "MORE than asked"
    boundary = max(got.sent_bytes for got in figures.values()) / mib
    lines += [
        "",
        f"With a snapshot every {ASKED_OF} steps, steps are held up by {100 * asked_share:.2f} % "
        f"(at most {100 * MOST_SHARE:.0f} %: {verdict}). A boundary is at most {boundary:.1f} MiB "
        "in one direction.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
