"""Joins in finished videos of the same length, measured as ``nightreel inspect`` measures them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.long.peers import OVERLAP_LATENT_FRAMES, context_windows, one_pass, windows_of
from benchmarks.long.work import CONTEXT, GANG, ONE_PASS, SETTINGS, plan_of
from jobs.config import load_config
from pipeline import reference
from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.provenance import Provenance
from pipeline.encoding.video_format import VideoFormat
from pipeline.engines.registry import load_engine
from pipeline.quality.joins import joins_at, joins_of_plan
from pipeline.quality.measure import measure
from pipeline.spans import first_frame_of

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.protocol import Engine
    from pipeline.plan import VideoPlan
    from pipeline.quality.joins import Joins
    from pipeline.quality.measure import Seams


@dataclass(frozen=True, slots=True)
class Joined:
    """One method's video: its seams, and how many joins they were measured at."""

    seams: Seams
    num_joins: int


def measure_seams(duration_s: float, num_steps: int) -> dict[str, Joined]:
    """Every method's video at its own joins; one pass, which has none, at a gang's."""
    engine = load_engine(load_config(overrides=SETTINGS).engine)
    plan = plan_of(engine.spec, duration_s, num_steps)
    ours = joins_of_plan(plan)
    # A gang's latents are those of the reference, bit for bit, whatever its size.
    made = {
        GANG: (reference.sample(plan, engine), ours),
        CONTEXT: (context_windows(plan, engine)[0], _context_joins(plan)),
        ONE_PASS: (one_pass(plan, engine)[0], ours),
    }
    return {
        method: Joined(_seams(plan, engine, latents, joins), len(joins))
        for method, (latents, joins) in made.items()
    }


def _context_joins(plan: VideoPlan) -> Joins:
    """The middles of the overlaps, where one window's share passes the other's."""
    windows = windows_of(plan.num_latent_frames, plan.engine.window_latent_frames)
    compression = plan.engine.temporal_compression
    middles = [window.start + OVERLAP_LATENT_FRAMES // 2 for window in windows[1:]]
    places = [(first_frame_of(middle, compression),) for middle in middles]
    return joins_at(places, plan.request.num_frames, compression)


def _seams(plan: VideoPlan, engine: Engine, latents_TCHW: Tensor, joins: Joins) -> Seams:
    video = VideoFormat.of(plan.request)
    about = Provenance(title="long", engine="embedded", version="0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        with VideoWriter(path, video, EncodeOptions(), about) as writer:
            for frames_FHWC in engine.stream_decoder().push(latents_TCHW):
                writer.write(frames_FHWC)
        return measure(path, joins).seams
