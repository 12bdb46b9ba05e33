"""What a manifest will take: frames, windows, GPU-hours, time, storage. Pure functions.

Windows are counted for each segment and step. The planner takes a step for as long as its largest
segment; neighbours wait for less than that, since what they need is computed first, so a video on
many actors takes up to a window a step less. How many actors a video has, and when, is the
planner's choice (``simulated_job``); a job holds all its GPUs from its first step to the end of its
last upload.

What is not in it: loading the engine, waiting for room on the cluster, failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import UserError
from pipeline.segments import cut

if TYPE_CHECKING:
    from jobs.simulated_job import SimulatedJob
    from pipeline.plan import VideoPlan
    from storage.job_request import JobRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoWork:
    """What one video takes, as counts.

    Attributes:
        num_frames, num_pixels: of the finished film, all frames together.
        duration_s: of the film.
        num_segments: actors that work on it.
        num_windows: windows over all steps.
        num_critical_windows: of these, those that the film waits for if every step waits for the
            slowest of its segments.
        window_cost: latent pixels that the model sees in one window, twice if guided.
    """

    num_frames: int
    num_pixels: int
    duration_s: float
    num_segments: int
    num_windows: int
    num_critical_windows: int
    window_cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast an engine is on some hardware.

    Attributes:
        source: ``measured`` on finished videos, or ``assumed``.
        hardware: ``cpu``, or the accelerator as Ray names it.
        origin: what was measured, or what the assumption rests on, in words.
        window_s_per_cost: seconds of a window, for one unit of ``VideoWork.window_cost``.
        tail_s_per_pixel: seconds from the last step to the end of the upload, for one pixel.
        bytes_per_pixel: of the finished film.
    """

    source: Literal["measured", "assumed"]
    hardware: str
    origin: str
    window_s_per_cost: float
    tail_s_per_pixel: float
    bytes_per_pixel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a manifest will take.

    Attributes:
        num_videos: to be rendered; those that are there already and bad rows are not counted.
        num_skipped, num_rejected: videos that are there already; rows that can't be rendered.
        num_frames, duration_s: of all films.
        num_segments: over all videos, on the gangs that the planner gives them.
        num_windows: windows over all steps; a guided one counts once.
        num_gpus: that are held; CPU cores where the hardware is ``cpu``.
        makespan_s, gpu_hours: from the first step to the last upload, and what is held meanwhile;
            ``None`` without a pace.
        makespan_bound_s: what no plan beats on these GPUs.
        longest_id, longest_s: the video that takes longest by itself, and how long it does.
        num_late: videos that end after their deadlines if the job starts now.
        busy_gpu_hours: of these, in which the model computes.
        storage_bytes: of the films that remain.
        pace: what times and sizes are computed from, if anything.
    """

    num_videos: int
    num_skipped: int
    num_rejected: int
    num_frames: int
    duration_s: float
    num_segments: int
    num_windows: int
    num_gpus: float
    makespan_s: float | None
    makespan_bound_s: float | None
    longest_id: str
    longest_s: float | None
    num_late: int | None
    gpu_hours: float | None
    busy_gpu_hours: float | None
    storage_bytes: int | None
    pace: Pace | None


def work_of(plan: VideoPlan, num_actors: int) -> VideoWork:
    """Count what a video takes on so many actors, each of which has one segment."""
    steps, boundary, request = plan.num_steps, plan.boundary, plan.request
    partition = cut(boundary, num_actors, steps)
    num_windows = num_critical = 0
    for step in range(steps):
        counts = [
            len(boundary.windows(step, partition.owned(step, segment)))
            for segment in range(partition.num_segments)
        ]
        num_windows += sum(counts)
        num_critical += max(counts)
    return VideoWork(
        num_frames=request.num_frames,
        num_pixels=request.num_frames * request.width * request.height,
        duration_s=request.num_frames / float(request.fps),
        num_segments=partition.num_segments,
        num_windows=num_windows,
        num_critical_windows=num_critical,
        window_cost=window_cost(plan),
    )


def window_cost(plan: VideoPlan) -> int:
    """Latent pixels that the model sees in one window, twice if it is guided."""
    _, height, width = plan.latent_shape
    length = min(plan.engine.window_latent_frames, plan.num_latent_frames)
    return length * height * width * (2 if plan.is_guided else 1)


def estimate(job: SimulatedJob, pace: Pace | None, *, num_gpus: float) -> Estimate:
    """Add up what a job's videos take, while it holds ``num_gpus`` from its start to its end."""
    works, makespan_s = job.works.items(), job.makespan_s
    num_pixels = sum(count * work.num_pixels for work, count in works)
    cost = sum(count * work.num_windows * work.window_cost for work, count in works)
    return Estimate(
        num_videos=sum(count for _, count in works),
        num_skipped=0,
        num_rejected=0,
        num_frames=sum(count * work.num_frames for work, count in works),
        duration_s=sum(count * work.duration_s for work, count in works),
        num_segments=sum(count * work.num_segments for work, count in works),
        num_windows=sum(count * work.num_windows for work, count in works),
        num_gpus=num_gpus,
        makespan_s=None if pace is None else makespan_s,
        makespan_bound_s=None if pace is None else job.bound_s,
        longest_id=job.longest_id,
        longest_s=None if pace is None else job.longest_s,
        num_late=None if pace is None else job.num_late,
        gpu_hours=None if pace is None else makespan_s * num_gpus / 3600,
        busy_gpu_hours=None if pace is None else cost * pace.window_s_per_cost / 3600,
        storage_bytes=None if pace is None else round(num_pixels * pace.bytes_per_pixel),
        pace=pace,
    )


def refuse_if_above(request: JobRequest, found: Estimate) -> None:
    """Keep a job from being admitted that is estimated above its cap.

    Raises:
        UserError: it is; a job without a cap or an estimate never is.
    """
    cap, hours = request.max_gpu_hours, found.gpu_hours
    if cap is None or hours is None or found.pace is None or hours <= cap:
        return
    raise UserError(
        f"job '{request.id}': estimated at {hours:.2f} GPU-hours ({found.pace.source}), above its "
        f"cap of {cap:g}"
    )
