"""Guidance in one batch takes more memory, and estimates know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pipeline.engines.protocol import NoiseLevel
from pipeline.engines.wan.checkpoint import Checkpoint
from pipeline.engines.wan.estimator import Estimator
from pipeline.engines.wan.memory_profile import PROFILES
from pipeline.engines.wan.paired import PairedWanEngine
from pipeline.engines.wan.storage_meter import StorageMeter
from tests.pipeline.engines.wan.wide_wan import make_wide_wan

if TYPE_CHECKING:
    from pathlib import Path

TOLERANCE = 0.2
PROFILE = PROFILES["text-freed"]


def test_a_batch_of_two_takes_what_its_estimate_says(tmp_path: Path) -> None:
    folder = make_wide_wan(tmp_path / "wan", "2.2-5b")
    checkpoint = Checkpoint.open(folder)
    one, two = (
        Estimator.of_checkpoint(checkpoint, torch.float32, "cpu", batch=batch).of(PROFILE)
        for batch in (1, 2)
    )
    alone, paired = (
        {phase.name: phase.num_bytes for phase in each.phases}["denoise"] for each in (one, two)
    )
    spec = checkpoint.spec
    shape = spec.window_latent_frames, *spec.latent_shape(spec.width, spec.height)
    with StorageMeter("cpu") as meter:
        engine = PairedWanEngine.load(folder, device="cpu", dtype=torch.float32, profile=PROFILE)
        first_SD, second_SD = engine.encode_prompts(["a red ball", "rain"])
        window_TCHW = torch.zeros(shape)
        meter.restart()
        engine.predict_pair(window_TCHW, NoiseLevel(0.5, 500.0), (first_SD, second_SD))
    print(f"batch of two: {meter.peak_bytes} bytes, estimate {paired}; of one {alone}")
    assert paired > 1.2 * alone
    assert abs(meter.peak_bytes / paired - 1) < TOLERANCE
