"""A job as a display hears of it: a bad row, one that is there already, one film, one failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.render import JobSummary
from pipeline.engines import gaussian
from pipeline.engines.gaussian import GaussianOptions
from pipeline.plan import RenderOptions, plan_video
from pipeline.request import VideoDefaults, VideoSpec, resolve
from storage.record import LedgerRecord
from storage.rejected import Rejection

if TYPE_CHECKING:
    from jobs.progress import Progress
    from pipeline.plan import VideoPlan

REJECTION = Rejection(
    row=3, id="bad", column="prompt", value="\x1b[31m", reason="expected words", file="a.parquet"
)
NUM_SEGMENTS = 2


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def plan(video_id: str) -> VideoPlan:
    """Ten seconds from the oracle, in 20 steps."""
    engine = gaussian.spec(GaussianOptions())
    spec = VideoSpec(id=video_id, prompt="fog")
    return plan_video(resolve(spec, VideoDefaults(), engine), engine, RenderOptions())


def rendered(video_id: str) -> LedgerRecord:
    """A film in the store."""
    return LedgerRecord(
        id=video_id,
        state="rendered",
        fingerprint="f",
        key=f"videos/{video_id}/f.mp4",
        size_bytes=1_234_567,
        crc32=1,
        duration_s=10.0,
    )


def failed(video_id: str) -> LedgerRecord:
    """A film that is not."""
    return LedgerRecord(
        id=video_id, state="failed", fingerprint="f", error="EncodeError", message="it\nsaid"
    )


def sample(progress: Progress, clock: Clock, video_id: str, num_steps: int, step_s: float) -> None:
    """Load for a second, then some steps of every segment, each taking a while."""
    progress.video_started(plan(video_id), "")
    clock.now_s += 1
    progress.sampling_started(video_id, NUM_SEGMENTS)
    for step in range(num_steps):
        for segment in range(NUM_SEGMENTS):
            clock.now_s += step_s / NUM_SEGMENTS
            progress.step_done(video_id, segment, step)


def tell(progress: Progress, clock: Clock) -> None:
    """The whole job."""
    progress.job_started(5)
    progress.row_rejected(REJECTION)
    progress.video_skipped(rendered("old"))
    sample(progress, clock, "fox", 20, 2.0)
    for num_frames in range(16, 161, 16):
        clock.now_s += 0.5
        progress.frames_done("fox", num_frames)
    clock.now_s += 1
    progress.video_finished(rendered("fox"), 47.0)
    sample(progress, clock, "storm", 3, 2.0)
    progress.video_finished(failed("storm"), 7.0)
    progress.job_finished(
        JobSummary(
            rendered=["fox"],
            skipped=1,
            failed={"storm": "it said"},
            rejected=[REJECTION],
            duration_s=54.0,
        )
    )
