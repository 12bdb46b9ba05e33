"""One gang rendering one video whose windows take a set time, and the share of ideal it reaches."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.handles import wait_for
from pipeline.plan import RenderOptions, VideoPlan, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve

if TYPE_CHECKING:
    from actors.gang import Gang
    from actors.step_report import StepReport
    from pipeline.engines.protocol import EngineSpec

SIZES_PX = {"480p": (832, 480), "720p": (1280, 720)}
# A window of 21 latent frames answers for 17.
CORE_LATENT_FRAMES = 17
BEGIN_TIMEOUT_S = 300.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is rendered.

    Attributes:
        num_actors: one segment each.
        window_s: seconds per window.
        size: a key of ``SIZES_PX``.
        num_windows: of each actor and step, one more or less: the grid moves, and a cut is whole.
        num_steps: denoising steps.
    """

    num_actors: int
    window_s: float
    size: str
    num_windows: int
    num_steps: int

    def plan(self, engine: EngineSpec) -> VideoPlan:
        """A video of so many whole cores."""
        num_latent_frames = self.num_actors * self.num_windows * CORE_LATENT_FRAMES
        width, height = SIZES_PX[self.size]
        request = VideoSpec(
            id="benchmark",
            prompt="a hill at dusk",
            seed=1,
            num_frames=1 + engine.temporal_compression * (num_latent_frames - 1),
            width=width,
            height=height,
            num_inference_steps=self.num_steps,
        )
        return plan_video(resolve(request, VideoDefaults(), engine), engine, RenderOptions())


@dataclass(slots=True)
class Outcome:
    """A watcher that adds up what the steps say.

    Attributes:
        windows: that each segment computed, over all steps.
        boundary_bytes: the most that a segment gave in one step, to all its neighbours.
        sampling_s: from the moment that all have their noise to the end of the last step.
    """

    cell: Cell
    windows: Counter[int] = field(default_factory=Counter)
    boundary_bytes: int = 0
    sampling_s: float = 0.0

    def on_start(self, num_segments: int, first_step: int) -> None:
        """Nothing yet."""

    def on_step(self, report: StepReport) -> None:
        """Add a step."""
        self.windows[report.segment] += report.num_windows
        self.boundary_bytes = max(self.boundary_bytes, report.sent_bytes)

    def on_frames(self, num_frames: int) -> None:
        """Frames are not made here."""

    @property
    def ideal_s(self) -> float:
        """The windows of whoever has most of them, one after another."""
        return max(self.windows.values()) * self.cell.window_s

    @property
    def share(self) -> float:
        """Of the ideal: what is missing is exchange, solver, calls and waiting."""
        return self.ideal_s / self.sampling_s

    @property
    def evenness(self) -> float:
        """Windows of an actor on average, over those of whoever has most: how well it was cut."""
        return self.windows.total() / len(self.windows) / max(self.windows.values())


def sample(gang: Gang, engine: EngineSpec, cell: Cell) -> Outcome:
    """Sample the cell's video on that many of the gang's actors."""
    take, outcome = gang.begin(cell.plan(engine), max_segments=cell.num_actors), Outcome(cell)
    assert take.partition.num_segments == cell.num_actors
    begun = [ref for track in take.tracks for task in track.owed for ref in task.refs]
    wait_for(begun, timeout_s=BEGIN_TIMEOUT_S, doing="drawing noise")
    started_s = time.perf_counter()
    take.sample(outcome)
    outcome.sampling_s = time.perf_counter() - started_s
    return outcome


def table(outcomes: list[Outcome]) -> str:
    """One row per cell."""
    lines = [
        "| window | size | actors | windows a step, on average and at most | steps |"
        " boundaries, at most | ideal | sampling | share of ideal | evenness of the cut |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for got in outcomes:
        cell = got.cell
        most = max(got.windows.values()) / cell.num_steps
        mean = got.windows.total() / cell.num_actors / cell.num_steps
        lines.append(
            f"| {cell.window_s:g} s | {cell.size} | {cell.num_actors} | "
            f"{mean:.1f}, {most:.1f} | {cell.num_steps} | "
            f"{got.boundary_bytes / MIB:.1f} MiB | {got.ideal_s:.1f} s | {got.sampling_s:.2f} s | "
            f"{100 * got.share:.1f} % | {100 * got.evenness:.1f} % |"
        )
    return "\n".join(lines)
