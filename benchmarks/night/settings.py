"""The nights that are planned: how many videos, how long, on what fleet, and what goes wrong."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

from pipeline.boundary import BoundaryOptions
from pipeline.layout import lay_out
from pipeline.planning.free_gpus import Node
from pipeline.planning.measured import work_of
from pipeline.planning.simulator import Faults
from pipeline.planning.task import VideoTask, Work
from pipeline.spans import num_latent_frames_for

# Wan 2.1 14B at 480p on an H100, guided: published for LightX2V, 5.18 s a step of one window.
WINDOW_S = 5.18
WINDOW_LATENT_FRAMES = 21
FPS = 16
TEMPORAL_COMPRESSION = 4
NUM_STEPS = 20
# Taken, not measured: a second of film decodes, encodes and uploads in a second.
DECODE_S_PER_S = 1.0
EXCHANGE_S = 0.01

MEDIAN_S, SIGMA, SHORTEST_S, LONGEST_S = 60.0, 0.8, 2.0, 3600.0
GPUS_PER_NODE = 8
FIXED_GANGS = (1, 4, 8)

# Estimates are a fifth too low, and each is off by about a tenth besides.
ESTIMATE_BIAS, ESTIMATE_SIGMA = 1.2, 0.1
TROUBLE = Faults(
    process_deaths_per_gpu_hour=0.02,
    replay_s=120.0,
    node_losses_per_node_hour=0.01,
    node_away_s=900.0,
    steps_per_cut=5,
    straggler_share=0.02,
    straggler_factor=1.5,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One night."""

    num_videos: int
    num_gpus: int
    fails: bool = False

    @property
    def is_full(self) -> bool:
        """Whether there are ten videos or more for each GPU, and nothing fails."""
        return self.num_videos >= 10 * self.num_gpus and not self.fails


SIZES = (
    *((100, 8), (1_000, 64), (10_000, 1_000), (100_000, 10_000)),
    *((100, 64), (1_000, 1_000), (1_000, 10_000)),
)
SETTINGS = (
    Setting(100_000, 1_000),
    *(Setting(*size, fails) for fails in (False, True) for size in SIZES),
)


def videos(count: int) -> list[VideoTask]:
    """So many videos, always the same: log-normal lengths, in whole seconds."""
    rng = random.Random(count)  # noqa: S311 - chance, not secrets
    lengths_s = (MEDIAN_S * math.exp(rng.gauss(0.0, SIGMA)) for _ in range(count))
    return [
        VideoTask(id=f"video-{number}", work=_work(round(min(max(s, SHORTEST_S), LONGEST_S))))
        for number, s in enumerate(lengths_s)
    ]


def fleet(num_gpus: int) -> list[Node]:
    """Nodes of eight GPUs."""
    assert num_gpus % GPUS_PER_NODE == 0, f"{num_gpus} GPUs are no whole nodes"
    return [Node(f"node-{n}", GPUS_PER_NODE) for n in range(num_gpus // GPUS_PER_NODE)]


def really(task: VideoTask) -> float:
    """By what factor a video takes longer than estimated, where things go wrong."""
    rng = random.Random(task.id)  # noqa: S311 - chance, not secrets
    return ESTIMATE_BIAS * math.exp(rng.gauss(0.0, ESTIMATE_SIGMA))


@cache
def _work(duration_s: int) -> Work:
    boundary = lay_out(
        BoundaryOptions(),
        num_latent_frames=num_latent_frames_for(duration_s * FPS, TEMPORAL_COMPRESSION),
        window_latent_frames=WINDOW_LATENT_FRAMES,
        temporal_compression=TEMPORAL_COMPRESSION,
        num_steps=NUM_STEPS,
    )
    return work_of(
        boundary,
        NUM_STEPS,
        window_s=WINDOW_S,
        decode_s=DECODE_S_PER_S * duration_s,
        exchange_s=EXCHANGE_S,
    )
